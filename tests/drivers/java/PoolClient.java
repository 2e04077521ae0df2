// HikariCP with its default settings over pgjdbc, as pools.py drives it: `work` reads and writes until told to stop,
// `errors STATE...` says which SQLSTATEs make the pool throw a healthy connection away. Answers are lines of JSON.
// Where to connect comes from the PG variables. Launched as a source file; needs nothing but the jars on the class path.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import javax.sql.DataSource;
import org.postgresql.PGConnection;
import org.postgresql.ds.PGSimpleDataSource;

public class PoolClient {
    static final int READERS = 6;
    static final int WRITERS = 4;

    static volatile boolean stopping = false;

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("work")) work();
        else errors(Arrays.copyOfRange(arguments, 1, arguments.length));
        System.exit(0);
    }

    // ---- a pool that says how many connections it has opened ----------------------------------------------------------

    static class Counting implements DataSource {
        final PGSimpleDataSource inner = new PGSimpleDataSource();
        final AtomicInteger created = new AtomicInteger();

        Counting() {
            inner.setServerNames(new String[] {System.getenv("PGHOST")});
            inner.setPortNumbers(new int[] {Integer.parseInt(System.getenv("PGPORT"))});
            inner.setDatabaseName(System.getenv("PGDATABASE"));
            inner.setUser(System.getenv("PGUSER"));
            inner.setPassword(System.getenv("PGPASSWORD"));
            inner.setSslMode("disable");
        }

        @Override public Connection getConnection() throws SQLException {
            Connection fresh = inner.getConnection();
            created.incrementAndGet();
            return fresh;
        }
        @Override public Connection getConnection(String user, String password) throws SQLException { return getConnection(); }
        @Override public PrintWriter getLogWriter() { return null; }
        @Override public void setLogWriter(PrintWriter out) {}
        @Override public void setLoginTimeout(int seconds) {}
        @Override public int getLoginTimeout() { return 0; }
        @Override public Logger getParentLogger() throws SQLFeatureNotSupportedException { throw new SQLFeatureNotSupportedException(); }
        @Override public <T> T unwrap(Class<T> kind) throws SQLException { throw new SQLException("not a wrapper"); }
        @Override public boolean isWrapperFor(Class<?> kind) { return false; }
    }

    static HikariDataSource pool(Counting source, int size) {
        HikariConfig config = new HikariConfig();
        config.setDataSource(source);
        if (size > 0) config.setMaximumPoolSize(size);
        // Milliseconds; both, or HikariCP's own.
        Long patience = Long.getLong("pool.validationTimeout");
        if (patience != null) {
            config.setConnectionTimeout(Long.getLong("pool.connectionTimeout"));
            config.setValidationTimeout(patience);
        }
        return new HikariDataSource(config);
    }

    // ---- work ---------------------------------------------------------------------------------------------------------

    /** What one kind of work was told. */
    static class Tally {
        final AtomicInteger done = new AtomicInteger();
        final Map<String, AtomicInteger> errors = new ConcurrentHashMap<>();

        void error(SQLException problem) {
            errors.computeIfAbsent(String.valueOf(problem.getSQLState()), key -> new AtomicInteger()).incrementAndGet();
        }
        String json() {
            return errors.entrySet().stream().map(each -> "\"" + each.getKey() + "\": " + each.getValue())
                .collect(Collectors.joining(", ", "{\"done\": " + done + ", \"errors\": {", "}}"));
        }
    }

    /** Somebody who works until the end; `successes` shows that it goes on. */
    interface Step { void once() throws Exception; }

    static Thread worker(Step step, AtomicInteger successes, List<String> broken) {
        Thread thread = new Thread(() -> {
            try {
                while (!stopping) {
                    int before = successes.get();
                    step.once();
                    Thread.sleep(successes.get() > before ? 5 : 20);
                }
            } catch (Exception problem) {
                synchronized (broken) { broken.add(problem.toString().replace('"', '\'').replace('\n', ' ')); }
            }
        });
        thread.start();
        return thread;
    }

    static void work() throws Exception {
        Counting source = new Counting();
        HikariDataSource pool = pool(source, 0);
        Tally reads = new Tally(), writes = new Tally(), borrows = new Tally(), rollbacks = new Tally();
        Map<Integer, Integer> sessions = new ConcurrentHashMap<>();
        List<AtomicInteger> successes = new ArrayList<>();
        List<String> broken = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < READERS + WRITERS; number++) {
            AtomicInteger mine = new AtomicInteger(), sequence = new AtomicInteger();
            String name = "hikari-" + number;
            boolean writer = number >= READERS;
            successes.add(mine);
            threads.add(worker(() -> {
                Connection connection;
                try {
                    connection = pool.getConnection();
                } catch (SQLException problem) {
                    borrows.error(problem);
                    return;
                }
                sessions.merge(connection.unwrap(PGConnection.class).getBackendPID(), 1, Integer::sum);
                if (writer ? write(connection, name, sequence.incrementAndGet(), writes, rollbacks) : read(connection, reads))
                    mine.incrementAndGet();
            }, mine, broken));
        }
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            if (order.equals("stop")) {
                stopping = true;
                for (Thread thread : threads) thread.join(40_000);
            }
            System.out.println("{\"reads\": " + reads.json() + ", \"writes\": " + writes.json() + ", \"borrows\": " + borrows.json()
                + ", \"rollbacks\": " + rollbacks.json() + ", \"created\": " + source.created
                + ", \"sessions\": " + new TreeMap<>(sessions).keySet()
                + ", \"successes\": " + successes
                + ", \"broken\": [" + broken.stream().map(text -> "\"" + text + "\"").collect(Collectors.joining(", ")) + "]}");
            if (stopping) break;
        }
        pool.close();
    }

    static boolean read(Connection connection, Tally tally) {
        try (connection; PreparedStatement ask = connection.prepareStatement("select id, name from items where id <= ? order by id")) {
            ask.setInt(1, 3);
            StringBuilder seen = new StringBuilder();
            try (ResultSet rows = ask.executeQuery()) {
                while (rows.next()) seen.append(rows.getInt(1)).append(rows.getString(2));
            }
            if (!seen.toString().equals("1one2two3three")) throw new IllegalStateException("the result is " + seen);
            tally.done.incrementAndGet();
            return true;
        } catch (SQLException problem) {
            tally.error(problem);
            return false;
        }
    }

    static boolean write(Connection connection, String name, int sequence, Tally tally, Tally rollbacks) {
        try (connection) {
            try {
                connection.setAutoCommit(false);
                for (int part = 1; part <= 2; part++) {
                    try (PreparedStatement insert = connection.prepareStatement("insert into pool_log values (?, ?, ?)")) {
                        insert.setString(1, name);
                        insert.setInt(2, sequence);
                        insert.setInt(3, part);
                        insert.executeUpdate();
                    }
                }
                connection.commit();
                tally.done.incrementAndGet();
                return true;
            } catch (SQLException problem) {
                tally.error(problem);
                if (!connection.isClosed()) rollBack(connection, rollbacks);
                return false;
            }
        } catch (SQLException problem) {
            rollbacks.error(problem);
            return false;
        }
    }

    static void rollBack(Connection connection, Tally tally) {
        try {
            connection.rollback();
            tally.done.incrementAndGet();
        } catch (SQLException problem) {
            tally.error(problem);
        }
    }

    // ---- which errors the pool takes for a broken connection ----------------------------------------------------------

    static void errors(String[] states) throws Exception {
        Counting source = new Counting();
        HikariDataSource pool = pool(source, 1);
        List<String> found = new ArrayList<>();
        for (String state : states) {
            int before = session(pool);
            try (Connection connection = pool.getConnection();
                 PreparedStatement raise = connection.prepareStatement("select raise_state(?)")) {
                raise.setString(1, state);
                raise.executeQuery();
                throw new IllegalStateException("no error " + state);
            } catch (SQLException problem) {
                if (!state.equals(problem.getSQLState())) throw problem;
            }
            found.add("\"" + state + "\": " + (session(pool) != before));
        }
        System.out.println("{" + String.join(", ", found) + "}");
        pool.close();
    }

    static int session(HikariDataSource pool) throws SQLException {
        try (Connection connection = pool.getConnection()) {
            return connection.unwrap(PGConnection.class).getBackendPID();
        }
    }
}
