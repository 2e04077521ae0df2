// lib/pq and pgx with their default settings: one case of one driver per run (`cases pq|pgx <name>`), connection by the PG
// variables; exit code 0 is success. Debian's packages, built without a network (go_cases.py).
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	_ "github.com/jackc/pgx/v4/stdlib"
	"github.com/lib/pq"
)

const clients = 20

func check(good bool, format string, what ...interface{}) {
	if !good {
		panic(fmt.Errorf(format, what...))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func stateOf(err error) string {
	var ofPq *pq.Error
	var ofPgx *pgconn.PgError
	switch {
	case errors.As(err, &ofPq):
		return string(ofPq.Code)
	case errors.As(err, &ofPgx):
		return ofPgx.Code
	}
	return fmt.Sprint(err)
}

func fails(state string, err error) {
	check(err != nil && stateOf(err) == state, "%s was expected and %v came", state, err)
}

func number(row *sql.Row) (n int) {
	must(row.Scan(&n))
	return n
}

func prepared(ctx context.Context, db *sql.DB) {
	for who := 0; who < 5; who++ {
		statement, err := db.PrepareContext(ctx, fmt.Sprintf("select %d + $1::int", who*100))
		must(err)
		for round := 0; round < 5; round++ {
			check(number(statement.QueryRowContext(ctx, round)) == who*100+round, "a prepared statement of somebody else")
		}
		must(statement.Close())
	}
	check(number(db.QueryRowContext(ctx, "select 1")) == 1, "simple")
}

func types(ctx context.Context, db *sql.DB) {
	bytes := make([]byte, 256)
	for at := range bytes {
		bytes[at] = byte(at)
	}
	when := time.Date(2024, 2, 29, 12, 30, 15, 123456000, time.UTC)
	var gotBytes []byte
	var gotTime time.Time
	var text, null sql.NullString
	var double float64
	var yes bool
	must(db.QueryRowContext(ctx, "select $1::bytea, $2::timestamptz, $3::text, $4::float8, $5::bool, $6::text", bytes, when, "é€", 0.1, true, nil).
		Scan(&gotBytes, &gotTime, &text, &double, &yes, &null))
	check(reflect.DeepEqual(bytes, gotBytes) && gotTime.Equal(when) && text.String == "é€" && double == 0.1 && yes && !null.Valid, "types")
}

func transactions(ctx context.Context, db *sql.DB) {
	tx, err := db.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(ctx, "update items set name = $1 where id = 1", "undone")
	must(err)
	must(tx.Rollback())
	tx, err = db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	must(err)
	_, err = tx.ExecContext(ctx, "update items set name = $1 where id = 2", "kept")
	must(err)
	_, err = tx.ExecContext(ctx, "savepoint a")
	must(err)
	_, err = tx.ExecContext(ctx, "select 1/0")
	fails("22012", err)
	_, err = tx.ExecContext(ctx, "rollback to a")
	must(err)
	must(tx.Commit())
	tx, err = db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	must(err)
	var names string
	must(tx.QueryRowContext(ctx, "select string_agg(name, ',' order by id) from items").Scan(&names))
	check(names == "one,kept,three", "%s", names)
	_, err = tx.ExecContext(ctx, "delete from items")
	fails("25006", err)
	must(tx.Rollback())
}

func failures(ctx context.Context, db *sql.DB) {
	for _, each := range [][]string{{"selct", "42601"}, {"insert into items values (1)", "23505"}, {"select * from nowhere", "42P01"}} {
		_, err := db.ExecContext(ctx, each[0])
		fails(each[1], err)
	}
	var n int
	fails("22P02", db.QueryRowContext(ctx, "select $1::text::int", "x").Scan(&n))
	check(number(db.QueryRowContext(ctx, "select 1")) == 1, "it goes on")
}

// A context that ends sends a request to cancel (lib/pq) or drops the connection (pgx).
func cancellation(ctx context.Context, db *sql.DB) {
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(short, "select pg_sleep(10)")
	check(err != nil, "it was not cancelled")
	check(number(db.QueryRowContext(ctx, "select 1")) == 1, "it goes on")
}

func copies(ctx context.Context, db *sql.DB) {
	if len(os.Args) > 1 && os.Args[1] == "pgx" {
		connection, err := pgx.Connect(ctx, "")
		must(err)
		defer connection.Close(ctx)
		rows := [][]interface{}{}
		for id := 1000; id < 5000; id++ {
			rows = append(rows, []interface{}{int32(id), fmt.Sprint("name ", id)})
		}
		_, err = connection.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromRows(rows))
		must(err)
		_, err = connection.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromRows(rows[:1]))
		fails("23505", err)
		batch := &pgx.Batch{}
		for id := 1000; id < 1100; id++ {
			batch.Queue("select name from items where id = $1", id)
		}
		answers := connection.SendBatch(ctx, batch)
		for id := 1000; id < 1100; id++ {
			var name string
			must(answers.QueryRow().Scan(&name))
			check(name == fmt.Sprint("name ", id), "%s", name)
		}
		must(answers.Close())
	} else {
		tx, err := db.BeginTx(ctx, nil)
		must(err)
		into, err := tx.PrepareContext(ctx, pq.CopyIn("items", "id", "name"))
		must(err)
		for id := 1000; id < 5000; id++ {
			_, err = into.ExecContext(ctx, id, fmt.Sprint("name ", id))
			must(err)
		}
		_, err = into.ExecContext(ctx)
		must(err)
		must(into.Close())
		must(tx.Commit())
	}
	check(number(db.QueryRowContext(ctx, "select count(*) from items where id >= 1000")) == 4000, "all of them")
}

func manyConnections(ctx context.Context, db *sql.DB) {
	var all sync.WaitGroup
	problems := make(chan error, clients*10)
	for client := 0; client < clients; client++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for round := 0; round < 10; round++ {
				tx, err := db.BeginTx(ctx, nil)
				if err == nil {
					if _, err = tx.ExecContext(ctx, "update counter set n = n + $1", 1); err == nil {
						err = tx.Commit()
					}
				}
				if err != nil {
					problems <- err
				}
			}
		}()
	}
	all.Wait()
	close(problems)
	for err := range problems {
		must(err)
	}
	check(number(db.QueryRowContext(ctx, "select n from counter")) == clients*10, "all of them")
}

var cases = map[string]func(context.Context, *sql.DB){
	"prepared":         prepared,
	"types":            types,
	"transactions":     transactions,
	"errors":           failures,
	"cancellation":     cancellation,
	"copy":             copies,
	"many_connections": manyConnections,
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	driver := map[string]string{"pq": "postgres", "pgx": "pgx"}[os.Args[1]]
	db, err := sql.Open(driver, "")
	must(err)
	defer db.Close()
	run, known := cases[os.Args[2]]
	check(known, "no case %s", strings.Join(os.Args[1:], " "))
	run(ctx, db)
}
