// pg.Pool with its default settings, as pools.py drives it: `work` reads and writes until told to stop,
// `errors connect|query STATE...` says which SQLSTATEs make the pool throw a healthy connection away.
// Answers are lines of JSON. Where to connect comes from the PG variables.
'use strict';

const readline = require('node:readline');
const pg = require('pg');

const READERS = 6;
const WRITERS = 4;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

class Tally {
  done = 0;
  errors = {};
  error(problem) {
    const state = problem.code || problem.message;
    this.errors[state] = (this.errors[state] || 0) + 1;
  }
}

async function read(pool, seen) {
  try {
    const { rows } = await pool.query('select id, name from items where id <= $1 order by id', [3]);
    const text = rows.map((row) => `${row.id}${row.name}`).join('');
    if (text !== '1one2two3three') seen.broken.push(`the result is ${text}`);
    seen.reads.done++;
    return true;
  } catch (problem) {
    seen.reads.error(problem);
    return false;
  }
}

// As node-postgres documents transactions: one client, BEGIN, ROLLBACK on error, release.
async function write(pool, name, sequence, seen) {
  let client;
  try {
    client = await pool.connect();
  } catch (problem) {
    seen.borrows.error(problem);
    return false;
  }
  try {
    await client.query('begin');
    for (const part of [1, 2]) await client.query('insert into pool_log values ($1, $2, $3)', [name, sequence, part]);
    await client.query('commit');
    seen.writes.done++;
    return true;
  } catch (problem) {
    seen.writes.error(problem);
    try {
      await client.query('rollback');
      seen.rollbacks.done++;
    } catch (another) {
      seen.rollbacks.error(another);
    }
    return false;
  } finally {
    client.release();
  }
}

async function work() {
  const pool = new pg.Pool();
  const seen = {
    reads: new Tally(), writes: new Tally(), borrows: new Tally(), rollbacks: new Tally(), created: 0, sessions: new Set(),
    successes: [], broken: [], lost: 0,
  };
  pool.on('connect', () => { seen.created++; });
  pool.on('acquire', (client) => seen.sessions.add(client.processID));
  pool.on('error', () => { seen.lost++; });
  let stopping = false;
  const workers = Array.from({ length: READERS + WRITERS }, async (_, number) => {
    seen.successes[number] = 0;
    for (let sequence = 1; !stopping; sequence++) {
      const good = number < READERS ? await read(pool, seen) : await write(pool, `node-${number}`, sequence, seen);
      seen.successes[number] += good ? 1 : 0;
      await pause(good ? 5 : 20);
    }
  });
  for await (const order of readline.createInterface({ input: process.stdin })) {
    if (order === 'stop') {
      stopping = true;
      await Promise.all(workers);
    }
    console.log(JSON.stringify({ ...seen, sessions: [...seen.sessions] }));
    if (stopping) break;
  }
  await pool.end();
}

// `how`: with a client of one's own (pool.connect), or pool.query, which gives the client back by itself.
async function errors(how, states) {
  const pool = new pg.Pool({ max: 1 });
  const session = async () => {
    const client = await pool.connect();
    client.release();
    return client.processID;
  };
  const raise = async (state) => {
    if (how === 'query') return pool.query('select raise_state($1)', [state]);
    const client = await pool.connect();
    try {
      return await client.query('select raise_state($1)', [state]);
    } finally {
      client.release();
    }
  };
  const found = {};
  for (const state of states) {
    const before = await session();
    const problem = await raise(state).then(() => null, (caught) => caught);
    if (!problem || problem.code !== state) throw new Error(`${state} was expected and ${problem} came`);
    found[state] = await session() !== before;
  }
  console.log(JSON.stringify(found));
  await pool.end();
}

const [what, ...rest] = process.argv.slice(2);
(what === 'work' ? work() : errors(rest[0], rest.slice(1))).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
