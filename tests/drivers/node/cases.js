// node pg: one case per run (`node cases.js <name>`), connection by the PG variables; exit code 0 is success.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { Readable, Writable } = require('node:stream');
const pg = require('pg');
const Cursor = require('pg-cursor');
const copyStreams = require('pg-copy-streams');

const CLIENTS = 20;

const options = () => ({
  ssl: { ca: fs.readFileSync(process.env.PGSSLROOTCERT), servername: 'localhost' },
});

async function withClient(work) {
  const client = new pg.Client(options());
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function failsWith(code, promise) {
  await assert.rejects(promise, (problem) => {
    assert.equal(problem.code, code);
    return true;
  });
}

const cases = {
  async prepared() {
    await Promise.all([0, 1, 2, 3, 4].map((number) => withClient(async (client) => {
      for (let round = 0; round < 5; round++) {
        const query = { name: 'same', text: `select 'client ${number}' as who, $1::int as n`, values: [round] };
        assert.deepEqual((await client.query(query)).rows, [{ who: `client ${number}`, n: round }]);
      }
    })));
  },

  async transactions() {
    await withClient(async (client) => {
      await client.query('begin');
      await client.query("update items set name = $1 where id = $2", ['undone', 1]);
      await client.query('rollback');
      await client.query('begin');
      await client.query("update items set name = 'kept' where id = 2");
      await client.query('savepoint a');
      await failsWith('22012', client.query('select 1/0'));
      await failsWith('25P02', client.query('select 1'));
      await client.query('rollback to a');
      await client.query('commit');
      const { rows } = await client.query('select name from items where id < 3 order by id');
      assert.deepEqual(rows.map((row) => row.name), ['one', 'kept']);
    });
  },

  async errors() {
    await withClient(async (client) => {
      await failsWith('42601', client.query('selct'));
      await failsWith('23505', client.query('insert into items values ($1)', [1]));
      await failsWith('22P02', client.query({ name: 'bad', text: 'select $1::int', values: ['x'] }));
      await failsWith('42P01', client.query({ name: 'later', text: 'select * from nowhere' }));
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
    });
  },

  async copy() {
    await withClient(async (client) => {
      const lines = Array.from({ length: 5000 }, (_, i) => `${i + 1000}\tname ${i}\t\\N\n`);
      await pipeline(Readable.from(lines), client.query(copyStreams.from('copy items from stdin')));
      let text = '';
      const sink = new Writable({ write(chunk, _, done) { text += chunk; done(); } });
      await pipeline(client.query(copyStreams.to('copy (select * from items where id >= 1000 order by id) to stdout')),
        sink);
      assert.equal(text, lines.join(''));
      await failsWith('22P02', pipeline(Readable.from(['bad\n']), client.query(copyStreams.from('copy items from stdin'))));
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
    });
  },

  async cursors() {
    await withClient(async (client) => {
      await client.query('begin');
      const cursor = client.query(new Cursor('select i from generate_series(1, $1) i', [1000]));
      let total = 0;
      for (let rows = await cursor.read(70); rows.length; rows = await cursor.read(70)) {
        total += rows.reduce((sum, row) => sum + row.i, 0);
      }
      await cursor.close();
      await client.query('commit');
      assert.equal(total, 500500);
    });
  },

  async cancellation() {
    await withClient(async (client) => {
      const running = client.query('select pg_sleep(60) /* node */');
      const cancelled = failsWith('57014', running);
      await withClient(async (watcher) => {
        for (;;) {
          const { rows } = await watcher.query(
            "select 1 from pg_stat_activity where query like '%60) /* node%' and state = 'active' and pid <> pg_backend_pid()");
          if (rows.length) break;
        }
      });
      await cancel(client);
      await cancelled;
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
    });
  },

  async many_connections() {
    const pool = new pg.Pool({ ...options(), max: CLIENTS });
    try {
      await Promise.all(Array.from({ length: CLIENTS }, async () => {
        for (let round = 0; round < 10; round++) {
          const client = await pool.connect();
          await client.query('begin');
          await client.query({ name: 'count', text: 'update counter set n = n + $1', values: [1] });
          await client.query('commit');
          client.release();
        }
      }));
      assert.equal((await pool.query('select n from counter')).rows[0].n, String(CLIENTS * 10));
    } finally {
      await pool.end();
    }
  },
};

// The driver has no public call for this: a CancelRequest with the key that the client was given.
function cancel(client) {
  return new Promise((resolve, reject) => {
    const socket = require('node:net').connect(Number(process.env.PGPORT), process.env.PGHOST, () => {
      const request = Buffer.alloc(16);
      request.writeInt32BE(16, 0);
      request.writeInt32BE(80877102, 4);
      request.writeInt32BE(client.processID, 8);
      request.writeInt32BE(client.secretKey, 12);
      socket.write(request);
    });
    socket.on('error', reject);
    socket.on('close', resolve);
    socket.resume();
  });
}

if (process.argv[2] === '--list') {
  console.log(Object.keys(cases).join('\n'));
} else {
  cases[process.argv[2]]().catch((problem) => {
    console.error(problem);
    process.exitCode = 1;
  });
}
