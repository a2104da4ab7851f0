//! Standard input that tells when it ends, so that nothing waits for an editor that is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf, Stdin};

use crate::api::Client;

/// Standard input.
pub struct Input {
    stdin: Stdin,
    client: Arc<Client>,
}

impl Input {
    /// Ends the waits of `client` when it ends.
    pub fn new(stdin: Stdin, client: Arc<Client>) -> Self {
        Self { stdin, client }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stdin).poll_read(context, buffer);
        if let Poll::Ready(result) = &read
            && (result.is_err() || buffer.filled().len() == before)
        {
            self.client.close();
        }
        read
    }
}
