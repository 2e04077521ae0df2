// Knex over node pg, with its default pool (two to ten connections).
'use strict';

const assert = require('node:assert/strict');
const makeKnex = require('knex');
const { failsWith, main, tls } = require('./run_case.js');

async function withKnex(work) {
  const knex = makeKnex({
    client: 'pg',
    connection: {
      host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, password: process.env.PGPASSWORD,
      database: process.env.PGDATABASE, ssl: tls(),
    },
  });
  try {
    await work(knex);
  } finally {
    await knex.destroy();
  }
}

const cases = {
  async queries() {
    await withKnex(async (knex) => {
      await knex.batchInsert('items', Array.from({ length: 2000 }, (_, i) => ({ id: i + 1000, name: `name ${i}` })), 300);
      assert.equal((await knex('items').where('id', '>=', 1000).count())[0].count, '2000');
      assert.deepEqual(await knex('items').where({ id: 1 }).update({ name: 'new' }).returning('name'), [{ name: 'new' }]);
      assert.deepEqual(await knex.raw('select ? as a, ?? from items where id = ?', ['x', 'name', 2]).then(({ rows }) => rows),
        [{ a: 'x', name: 'two' }]);
      let seen = 0;
      for await (const row of knex('items').where('id', '>=', 1000).stream()) seen += row.id >= 1000;
      assert.equal(seen, 2000);
    });
  },

  async schema() {
    await withKnex(async (knex) => {
      const migrationSource = {
        getMigrations: async () => ['first', 'second'],
        getMigrationName: (name) => name,
        getMigration: (name) => ({
          up: (tx) => (name === 'first' ? tx.schema.createTable('made', (table) => { table.increments(); table.jsonb('data'); })
            : tx.schema.alterTable('made', (table) => { table.string('name').index(); })),
          down: (tx) => (name === 'first' ? tx.schema.dropTable('made') : tx.schema.alterTable('made', (table) => table.dropColumn('name'))),
        }),
      };
      assert.deepEqual((await knex.migrate.latest({ migrationSource }))[1], ['first', 'second']);
      assert.deepEqual(await knex('made').insert({ data: { a: [1] }, name: 'x' }).returning('*'), [{ id: 1, data: { a: [1] }, name: 'x' }]);
      assert.deepEqual(Object.keys(await knex('made').columnInfo()).sort(), ['data', 'id', 'name']);
      await knex.migrate.rollback({ migrationSource }, true);
      assert.equal(await knex.schema.hasTable('made'), false);
      await knex.schema.dropTable('knex_migrations').dropTable('knex_migrations_lock');
    });
  },

  async transactions() {
    await withKnex(async (knex) => {
      await failsWith('22012', knex.transaction(async (tx) => {
        await tx('items').where({ id: 1 }).update({ name: 'undone' });
        await tx.raw('select 1/0');
      }));
      await knex.transaction(async (tx) => {
        await tx('items').where({ id: 2 }).update({ name: 'kept' });
        await failsWith('23505', tx.transaction((inner) => inner('items').insert({ id: 1 })));
      }, { isolationLevel: 'serializable' });
      assert.deepEqual(await knex('items').orderBy('id').pluck('name'), ['one', 'kept', 'three']);
    });
  },

  async many_connections() {
    await withKnex(async (knex) => {
      await Promise.all(Array.from({ length: 200 }, () => knex.transaction((tx) => tx('counter').increment('n', 1))));
      assert.equal((await knex('counter').first('n')).n, '200');
    });
  },

  // Knex asks PostgreSQL to cancel by the process number that it was given at sign-in. Ours is nobody's (README), so the statement
  // runs to its end; what matters is that nobody else's is cancelled, and that the connection goes on.
  async timeouts() {
    await withKnex(async (knex) => {
      const other = knex.raw('select pg_sleep(0.4)');
      await assert.rejects(knex.raw('select pg_sleep(0.4)').timeout(100, { cancel: true }), { name: 'KnexTimeoutError' });
      await other;
      assert.deepEqual((await knex.raw('select 1 as one')).rows, [{ one: 1 }]);
    });
  },
};

main(cases);
