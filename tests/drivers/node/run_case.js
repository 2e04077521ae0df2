// What the files of cases share: run the one that is named on the command line; exit code 0 is success.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');

// node's drivers do not read PGSSLROOTCERT. Without it (pools.py) there is no TLS.
const tls = () => (process.env.PGSSLROOTCERT ? { ca: fs.readFileSync(process.env.PGSSLROOTCERT), servername: 'localhost' } : false);

async function failsWith(code, promise) {
  await assert.rejects(Promise.resolve(promise), (problem) => {
    assert.equal(problem.code, code, problem);
    return true;
  });
}

// Until `look()` answers something true.
async function eventually(look) {
  const end = Date.now() + 20000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within 20 s: ${look}`);
  }
}

function main(cases) {
  cases[process.argv[2]]().catch((problem) => {
    console.error(problem);
    process.exitCode = 1;
  });
}

module.exports = { eventually, failsWith, main, tls };
