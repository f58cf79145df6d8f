// Opens pages from the disk in Chromium, without a network, as wide as a desk's screen and a phone's, in light and in dark. Fails where one asks for anything
// but itself, has an error or a warning to tell, is wider than the screen, cannot be used by everybody (axe), or lacks what it must show.
//
// usage: node look.mjs FOLDER PAGE[=SELECTOR,SELECTOR...]...    FOLDER is where screenshots go
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import AxeBuilder from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const screens = [['desk', { width: 1280, height: 900 }], ['phone', { width: 390, height: 844 }]];
const [folder, ...pages] = process.argv.slice(2);
const sandbox = process.getuid() === 0 ? ['--no-sandbox'] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: sandbox });
const faults = [];
let looks = 0;

for (const argument of pages) {
  const [file, selectors = ''] = argument.split('=');
  const url = pathToFileURL(file).href;
  for (const [screen, viewport] of screens) {
    for (const colorScheme of ['light', 'dark']) {
      const fault = (what) => faults.push(`${basename(file)}, ${screen}, ${colorScheme}: ${what}`);
      const context = await browser.newContext({ viewport, colorScheme, offline: true });
      const page = await context.newPage();
      page.on('request', (request) => request.url() === url || fault(`asks for ${request.url()}`));
      page.on('console', (message) => ['error', 'warning'].includes(message.type()) && fault(message.text()));
      page.on('pageerror', (error) => fault(error.message));
      await page.goto(url);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wider > 0) fault(`is ${wider} pixels wider than the screen`);
      for (const selector of selectors.split(',').filter(Boolean)) {
        if (await page.locator(selector).count() === 0) fault(`has no ${selector}`);
      }
      // A text that a drawing cuts off.
      const cut = await page.evaluate(() => [...document.querySelectorAll('svg text')].filter((text) => {
        const [inner, outer] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
        return inner.left < outer.left - 1 || inner.right > outer.right + 1;
      }).map((text) => text.textContent));
      if (cut.length > 0) fault(`cuts off ${cut.join(', ')}`);
      const { violations } = await new AxeBuilder({ page }).analyze();
      violations.forEach((found) => fault(`${found.id}: ${found.help}: ${found.nodes[0].html.slice(0, 200)}`));
      await page.screenshot({ path: `${folder}/${basename(file, '.html')}-${screen}-${colorScheme}.png`, fullPage: true });
      await context.close();
      looks += 1;
    }
  }
}
await browser.close();
if (faults.length > 0) {
  console.error(faults.join('\n'));
  process.exit(1);
}
console.log(`${pages.length} pages opened offline, ${looks} times: nothing asked for, no error, no overflow, no hindrance`);
