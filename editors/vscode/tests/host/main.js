// An extension that tests the other one from inside of the extension host, and writes what it found.
const fs = require('node:fs');
const path = require('node:path');
const { tests } = require(`./${process.env.KAPELL_TEST_SUITE}.js`);

exports.activate = async () => {
  const base = process.env.KAPELL_TEST_BASE;
  const results = [];
  for (const [name, run] of tests) {
    const began = Date.now();
    try {
      const note = await run();
      results.push({ name, ok: true, ms: Date.now() - began, note });
    } catch (error) {
      results.push({ name, ok: false, ms: Date.now() - began, error: error?.stack ?? String(error) });
    }
    fs.writeFileSync(path.join(base, 'host-progress.json'), JSON.stringify(results));
    // Without a server all others would wait in vain.
    if (!results[0].ok) break;
  }
  fs.renameSync(path.join(base, 'host-progress.json'), path.join(base, 'host-results.json'));
};
