// Takes the pictures of the README: the real board of a scripted project, light, dark, and on a phone.
//
//   KAPELL=… tests/board/run.sh pictures
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Scene } from './scene.mjs';

const { chromium } = createRequire(path.join(process.env.NODE_MODULES, 'x.js'))('playwright-core');
const out = path.join(import.meta.dirname, '..', 'pictures');

const scene = new Scene('pictures');
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
let server;

async function shot(place, scheme, width, height, ready) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce', deviceScaleFactor: width < 500 ? 1.5 : 1 });
  const page = await context.newPage();
  await page.goto(server.board);
  await page.locator('.link.live').waitFor();
  await page.evaluate((to) => { location.hash = to; }, place);
  await page.locator(ready).first().waitFor();
  await page.waitForFunction(() => !document.querySelector('[aria-busy=true]'));
  await page.waitForTimeout(500);
  // Where the scene lies is nobody's business.
  await page.evaluate((base) => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) if (walk.currentNode.data.includes(base)) walk.currentNode.data = walk.currentNode.data.replaceAll(base, '/home/ada');
  }, scene.base);
  const picture = await page.screenshot();
  await context.close();
  return picture;
}

/** Several pictures beside each other, as one. */
async function beside(pictures) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  await page.setContent(`<body style="margin:0;display:inline-flex;gap:24px;background:transparent">${pictures.map((it) => `<img style="width:360px;border-radius:14px;outline:1px solid #8886" src="data:image/png;base64,${it.toString('base64')}">`).join('')}`);
  await page.waitForFunction(() => [...document.images].every((it) => it.complete));
  return page.locator('body').screenshot({ omitBackground: true });
}

try {
  await scene.begin();
  await scene.play();
  await scene.places();
  server = await scene.serve();
  const { attempts } = scene.kapell('status', '--scope', 'task', '--id', `${scene.release}/discounts`);
  const keep = (name, picture) => writeFileSync(path.join(out, name), picture);
  for (const scheme of ['light', 'dark']) {
    keep(`board-${scheme}.png`, await shot('#/', scheme, 1280, 800, '.groups'));
    keep(`board-plan-${scheme}.png`, await shot(`#/plans/${scene.release}/discounts`, scheme, 1440, 620, '.panel .tries'));
  }
  keep('board-phone.png', await beside([await shot('#/', 'light', 360, 740, '.groups'), await shot(`#/attempts/${attempts[0].attempt}`, 'dark', 360, 740, '.diff'), await shot('#/environments', 'light', 360, 740, '.place')]));
} finally {
  await browser.close();
  await scene.end();
}
