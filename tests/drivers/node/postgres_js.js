// postgres.js with its default settings: a pool of ten that prepares every statement and pipelines on each connection.
'use strict';

const assert = require('node:assert/strict');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const postgres = require('postgres');
const { eventually, failsWith, main, tls } = require('./run_case.js');

async function withPool(work, options = {}) {
  const sql = postgres({ ssl: tls(), onnotice: () => {}, ...options });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const cases = {
  async prepared() {
    await withPool(async (sql) => {
      for (let round = 0; round < 3; round++) {
        const rows = await Promise.all(Array.from({ length: 200 }, (_, number) => sql`select ${number}::int + ${round}::int as n`));
        rows.forEach(([row], number) => assert.equal(row.n, number + round));
      }
      const found = await sql`select id, name from items where id in ${sql([1, 2])} order by id`;
      assert.deepEqual([...found], [{ id: 1, name: 'one' }, { id: 2, name: 'two' }]);
      assert.deepEqual((await sql`select * from items where id = 1`.describe()).columns.map((column) => column.name), ['id', 'name', 'price']);
    });
  },

  async simple() {
    await withPool(async (sql) => {
      const results = await sql.unsafe('select 1 as a; select 2 as b');
      assert.deepEqual(results.map(([row]) => row), [{ a: 1 }, { b: 2 }]);
      assert.deepEqual([...await sql`select 3 as c`.simple()], [{ c: 3 }]);
    });
    await withPool(async (sql) => assert.equal((await sql`select ${5}::int as n`)[0].n, 5), { prepare: false });
  },

  // The types of arrays are looked up at the first connection (`fetch_types`).
  async types() {
    await withPool(async (sql) => {
      await sql`select 1`;
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      const when = new Date('2024-02-29T12:30:15.123Z');
      const [row] = await sql`select ${bytes}::bytea as a, ${sql.json({ x: [1, null, 'é'] })}::jsonb as b, ${sql.array([1, 2, 3])}::int[] as c,
        ${when}::timestamptz as d, ${true}::bool as e, ${'9007199254740993'}::bigint as f, ${null}::text as g`;
      assert.deepEqual({ ...row }, { a: bytes, b: { x: [1, null, 'é'] }, c: [1, 2, 3], d: when, e: true, f: '9007199254740993', g: null });
    });
  },

  async transactions() {
    await withPool(async (sql) => {
      await failsWith('22012', sql.begin(async (tx) => {
        await tx`update items set name = 'undone' where id = 1`;
        await tx`select 1/0`;
      }));
      await sql.begin('isolation level serializable', async (tx) => {
        await tx`update items set name = ${'kept'} where id = 2`;
        await failsWith('22012', tx.savepoint(async (inner) => {
          await inner`update items set name = 'undone' where id = 3`;
          await inner`select 1/0`;
        }));
      });
      const pipelined = await sql.begin((tx) => [tx`select 1 as n`, tx`select 2 as n`, tx`select 3 as n`]);
      assert.deepEqual(pipelined.map(([row]) => row.n), [1, 2, 3]);
      const names = await sql`select name from items order by id`;
      assert.deepEqual(names.map((row) => row.name), ['one', 'kept', 'three']);
    });
  },

  async errors() {
    await withPool(async (sql) => {
      for (let round = 0; round < 2; round++) {
        await failsWith('42601', sql`selct`);
        await failsWith('23505', sql`insert into items values (${1})`);
        await failsWith('22P02', sql`select ${'x'}::text::int`);
        await failsWith('42P01', sql`select * from nowhere`);
      }
      assert.equal((await sql`select 1 as one`)[0].one, 1);
    });
  },

  async copy() {
    await withPool(async (sql) => {
      const lines = Array.from({ length: 5000 }, (_, i) => `${i + 1000}\tname ${i}\t\\N\n`);
      await pipeline(Readable.from(lines), await sql`copy items from stdin`.writable());
      let text = '';
      for await (const chunk of await sql`copy (select * from items where id >= 1000 order by id) to stdout`.readable()) text += chunk;
      assert.equal(text, lines.join(''));
      assert.equal((await sql`select 1 as one`)[0].one, 1);
    });
  },

  async cursors() {
    await withPool(async (sql) => {
      let total = 0;
      await sql`select i from generate_series(1, ${1000}::int) i`.cursor(70, (rows) => {
        total += rows.reduce((sum, row) => sum + row.i, 0);
      });
      assert.equal(total, 500500);
      for await (const [row] of sql`select i from generate_series(1, 10) i`.cursor()) if (row.i === 3) break;
      await sql`select i from generate_series(1, 100) i`.forEach((row) => { total -= row.i; });
      assert.equal(total, 495450);
    });
  },

  async notifications() {
    await withPool(async (sql) => {
      const heard = new Promise((resolve) => { sql.listen('postgres_js', resolve).then(() => sql.notify('postgres_js', 'hello')); });
      assert.equal(await heard, 'hello');
    });
  },

  async cancellation() {
    await withPool(async (sql) => {
      const running = sql`select pg_sleep(60) /* postgres.js */`.execute();
      const cancelled = failsWith('57014', running);
      await eventually(async () => (await sql`select 1 from pg_stat_activity
        where query like '%60) /* postgres.js%' and state = 'active' and pid <> pg_backend_pid()`).length);
      running.cancel();
      await cancelled;
      assert.equal((await sql`select 1 as one`)[0].one, 1);
    });
  },

  async reserved_connections() {
    await withPool(async (sql) => {
      const one = await sql.reserve();
      await one`set work_mem = '17MB'`;
      await Promise.all(Array.from({ length: 20 }, () => sql`select 1`));
      assert.equal((await one`show work_mem`)[0].work_mem, '17MB');
      await one`reset work_mem`;
      one.release();
    });
  },

  async many_connections() {
    await withPool(async (sql) => {
      await Promise.all(Array.from({ length: 200 }, (_, number) => (number % 2
        ? sql`update counter set n = n + ${1}`
        : sql.begin((tx) => tx`update counter set n = n + ${1}`))));
      assert.equal((await sql`select n from counter`)[0].n, '200');
    }, { max: 20 });
  },
};

main(cases);
