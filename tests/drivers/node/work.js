// postgres.js and Knex (`work.js postgres_js|knex work`) at work for pools.py: reads and writes until told to stop.
// Where to connect comes from the PG variables. Answers are lines of JSON.
'use strict';

const readline = require('node:readline');
const postgres = require('postgres');
const makeKnex = require('knex');

const READERS = 3;
const WRITERS = 2;

const drivers = {
  postgres_js() {
    const sql = postgres({ ssl: false, onnotice: () => {} });
    return {
      read: () => sql`select id, name from items where id <= ${3} order by id`,
      write: (name, sequence) => sql.begin(async (tx) => {
        for (const part of [1, 2]) await tx`insert into pool_log values (${name}, ${sequence}, ${part})`;
      }),
      end: () => sql.end({ timeout: 5 }),
    };
  },
  knex() {
    const { PGHOST: host, PGPORT: port, PGUSER: user, PGPASSWORD: password, PGDATABASE: database } = process.env;
    const knex = makeKnex({ client: 'pg', connection: { host, port: Number(port), user, password, database } });
    return {
      read: () => knex('items').where('id', '<=', 3).orderBy('id').select('id', 'name'),
      write: (name, sequence) => knex.transaction(async (tx) => {
        for (const part of [1, 2]) await tx('pool_log').insert({ client: name, seq: sequence, part });
      }),
      end: () => knex.destroy(),
    };
  },
};

const seen = { successes: [], broken: [], reads: { done: 0, errors: {} }, writes: { done: 0, errors: {} } };
let stopping = false;

async function work(driver, name, number) {
  seen.successes[number] = 0;
  const kind = number < READERS ? seen.reads : seen.writes;
  for (let sequence = 1; !stopping; sequence++) {
    try {
      const rows = await (number < READERS ? driver.read() : driver.write(`${name}-${number}`, sequence));
      if (number < READERS && rows.map((row) => row.id + row.name).join('') !== '1one2two3three') seen.broken.push(rows);
      kind.done++;
      seen.successes[number]++;
    } catch (problem) {
      const state = problem.code || problem.message;
      kind.errors[state] = (kind.errors[state] || 0) + 1;
    }
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}

async function main(name) {
  const driver = drivers[name]();
  const workers = Array.from({ length: READERS + WRITERS }, (_, number) => work(driver, name, number));
  for await (const order of readline.createInterface({ input: process.stdin })) {
    if (order === 'stop') {
      stopping = true;
      await Promise.all(workers);
    }
    console.log(JSON.stringify(seen));
    if (stopping) break;
  }
  await driver.end();
}

main(process.argv[2]).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
