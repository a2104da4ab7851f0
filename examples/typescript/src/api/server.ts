import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** Answers a request, or says that it is not its own. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A server that asks its handlers in turn; the first that takes the request answers it. */
export function api(handlers: Handler[]): Server {
  return createServer((request, response) => {
    if (!handlers.some((handler) => handler(request, response))) {
      response.writeHead(404).end();
    }
  });
}
