// JDBC (pgjdbc as Debian ships it) against the server: metadata, types, batches, fetch size, errors, COPY, notifications.
//
// Run with the driver on the class path: java -cp /usr/share/java/postgresql.jar Check.java [NAME ...]

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;

public class Check {
    interface Body { void run() throws Exception; }
    interface Use { void with(Connection c) throws Exception; }

    static final Map<String, Body> CHECKS = new LinkedHashMap<>();
    static final String DATABASE = env("PGDATABASE", "chronogate");

    static String env(String name, String other) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? other : value;
    }

    static Connection connect(String database, String... properties) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", env("PGUSER", "chronogate"));
        p.setProperty("password", env("PGPASSWORD", ""));
        for (int i = 0; i < properties.length; i += 2) p.setProperty(properties[i], properties[i + 1]);
        String url = "jdbc:postgresql://" + env("PGHOST", "127.0.0.1") + ":" + env("PGPORT", "5433") + "/" + database.replace(":", "%3A").replace("@", "%40");
        return DriverManager.getConnection(url, p);
    }

    static void check(String name, Use use, String... properties) {
        CHECKS.put(name, () -> {
            try (Connection c = connect(DATABASE, properties)) { use.with(c); }
        });
    }

    static void same(Object seen, Object expected) {
        boolean equal = seen instanceof Object[] a && expected instanceof Object[] b ? Arrays.deepEquals(a, b)
            : seen instanceof byte[] x && expected instanceof byte[] y ? Arrays.equals(x, y) : Objects.equals(seen, expected);
        if (!equal) throw new AssertionError("answer is " + show(seen) + ", not " + show(expected));
    }

    static String show(Object o) {
        return o instanceof Object[] a ? Arrays.deepToString(a) : String.valueOf(o);
    }

    static void that(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static PSQLException fails(String state, Body body) throws Exception {
        try {
            body.run();
        } catch (SQLException e) {
            same(e.getSQLState(), state);
            return e instanceof PSQLException p ? p : null;
        }
        throw new AssertionError("nothing failed with " + state);
    }

    static void run(Connection c, String... statements) throws SQLException {
        try (Statement s = c.createStatement()) { for (String text : statements) s.execute(text); }
    }

    /** Rows as lists of what getObject gives. */
    static List<List<Object>> rows(ResultSet r) throws SQLException {
        List<List<Object>> all = new ArrayList<>();
        int n = r.getMetaData().getColumnCount();
        while (r.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= n; i++) row.add(r.getObject(i));
            all.add(row);
        }
        return all;
    }

    static List<List<Object>> rows(Connection c, String query, Object... parameters) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(query)) {
            for (int i = 0; i < parameters.length; i++) s.setObject(i + 1, parameters[i]);
            return rows(s.executeQuery());
        }
    }

    static Object one(Connection c, String query, Object... parameters) throws SQLException {
        return rows(c, query, parameters).get(0).get(0);
    }

    static List<Object> column(ResultSet r, String... names) throws SQLException {
        List<Object> all = new ArrayList<>();
        while (r.next()) {
            if (names.length == 1) { all.add(r.getObject(names[0])); continue; }
            List<Object> row = new ArrayList<>();
            for (String name : names) row.add(r.getObject(name));
            all.add(row);
        }
        return all;
    }

    static void table(Connection c, String name, String columns) throws SQLException {
        run(c, "DROP TABLE IF EXISTS " + name + " CASCADE", "CREATE TABLE " + name + " (" + columns + ")");
    }

    static void metadataTables(Connection c) throws SQLException {
        run(c, "DROP VIEW IF EXISTS jd_meta_v", "DROP TABLE IF EXISTS jd_meta_c", "DROP TABLE IF EXISTS jd_meta",
            "CREATE TABLE jd_meta (id serial PRIMARY KEY, code varchar(12) NOT NULL, price numeric(10,2) DEFAULT 0, at timestamptz, tags text[], CONSTRAINT jd_meta_u UNIQUE (code))",
            "CREATE TABLE jd_meta_c (a int, b int, m int CONSTRAINT jd_fk REFERENCES jd_meta ON DELETE CASCADE, PRIMARY KEY (b, a))",
            "CREATE INDEX jd_ix ON jd_meta_c (m, a)", "CREATE VIEW jd_meta_v AS SELECT id, code FROM jd_meta",
            "COMMENT ON TABLE jd_meta IS 'a table'", "COMMENT ON COLUMN jd_meta.code IS 'a column'");
    }

    static void define() {
        check("connects", c -> {
            that(c.isValid(5), "not valid");
            same(one(c, "SELECT 1"), 1);
            same(c.getMetaData().getDatabaseProductName() + " " + c.getMetaData().getDatabaseMajorVersion(), "PostgreSQL 15");
            same(c.getCatalog(), DATABASE);
            same(c.getSchema(), "public");
        });
        CHECKS.put("wrong_password", () -> fails("28P01", () -> connect(DATABASE, "password", "wrong")));
        check("simple_query_mode", c -> same(rows(c, "SELECT ?::int, ?::text", 5, "it's"), List.of(List.of(5, "it's"))), "preferQueryMode", "simple");
        check("types_in_text", c -> types(c), "binaryTransfer", "false");
        check("types_in_binary", c -> { for (int i = 0; i < 3; i++) types(c); }, "prepareThreshold", "-1");
        check("geometric_points", c -> same(one(c, "SELECT '(1,2)'::point").toString(), "(1.0,2.0)"));
        check("nulls", c -> {
            table(c, "jd_null", "i int, t text, at timestamptz, n numeric, b bool, x bytea, u uuid");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_null VALUES (?, ?, ?, ?, ?, ?, ?)")) {
                int[] types = {Types.INTEGER, Types.VARCHAR, Types.TIMESTAMP_WITH_TIMEZONE, Types.NUMERIC, Types.BOOLEAN, Types.BINARY, Types.OTHER};
                for (int i = 0; i < 7; i++) s.setNull(i + 1, types[i]);
                same(s.executeUpdate(), 1);
            }
            same(rows(c, "SELECT * FROM jd_null").get(0), Arrays.asList(new Object[7]));
        });
        check("timestamps_and_dates_into_columns", c -> {
            table(c, "jd_time", "id int, d date, ts timestamp, tz timestamptz, t time");
            Instant at = Instant.parse("2024-02-29T10:11:12.345678Z");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_time VALUES (1, ?, ?, ?, ?)")) {
                s.setDate(1, java.sql.Date.valueOf("2024-02-29"));
                s.setTimestamp(2, Timestamp.valueOf("2024-02-29 10:11:12.5"));
                s.setObject(3, at.atOffset(ZoneOffset.UTC));
                s.setObject(4, LocalTime.of(1, 2, 3));
                s.executeUpdate();
            }
            try (ResultSet r = c.createStatement().executeQuery("SELECT * FROM jd_time")) {
                r.next();
                same(r.getObject(2, LocalDate.class), LocalDate.of(2024, 2, 29));
                same(r.getObject(3, LocalDateTime.class), LocalDateTime.of(2024, 2, 29, 10, 11, 12, 500_000_000));
                same(r.getObject(4, OffsetDateTime.class).toInstant(), at);
                same(r.getObject(5, LocalTime.class), LocalTime.of(1, 2, 3));
            }
            same(one(c, "SELECT count(*) FROM jd_time WHERE tz < ? AND d >= ?", OffsetDateTime.now(), LocalDate.of(2024, 1, 1)), 1L);
        });
        check("arrays", c -> {
            Array a = c.createArrayOf("int4", new Integer[] {1, null, 3});
            same(((Array) one(c, "SELECT ?::int4[]", a)).getArray(), new Integer[] {1, null, 3});
            same(((Array) one(c, "SELECT ?::text[]", c.createArrayOf("text", new String[] {"a", "b\"c", null}))).getArray(), new String[] {"a", "b\"c", null});
            same(rows(c, "SELECT g FROM generate_series(1, 5) AS g WHERE g = ANY(?) ORDER BY g", a), List.of(List.of(1), List.of(3)));
            same(((Array) one(c, "SELECT ARRAY[1.5, 2]::numeric[]")).getBaseTypeName(), "numeric");
        });
        check("json_and_other_objects", c -> {
            table(c, "jd_json", "id int, j jsonb, u uuid");
            PGobject j = new PGobject();
            j.setType("jsonb");
            j.setValue("{\"b\": 1, \"a\": [true]}");
            UUID u = new UUID(1, 2);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_json VALUES (1, ?, ?)")) {
                s.setObject(1, j);
                s.setObject(2, u);
                s.executeUpdate();
            }
            same(one(c, "SELECT j FROM jd_json WHERE u = ?", u).toString(), "{\"a\": [true], \"b\": 1}");
            try (PreparedStatement s = c.prepareStatement("UPDATE jd_json SET j = ?::jsonb WHERE j ->> 'b' = ?")) {
                s.setString(1, "{\"k\": null}");
                s.setString(2, "1");
                same(s.executeUpdate(), 1);
            }
        });
        check("strings_to_any_type", c -> {
            table(c, "jd_unk", "id int, at timestamptz, n numeric(6,2), u uuid");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_unk VALUES (?, ?, ?, ?)")) {
                String[] values = {"7", "2024-01-01 00:00:00+00", "1.5", "00000000-0000-0000-0000-000000000001"};
                for (int i = 0; i < 4; i++) s.setString(i + 1, values[i]);
                s.executeUpdate();
            }
            same(one(c, "SELECT n FROM jd_unk WHERE id = ?", "7"), new BigDecimal("1.50"));
        }, "stringtype", "unspecified");
        check("prepared_statement_becomes_named", c -> {
            try (PreparedStatement s = c.prepareStatement("SELECT ?::int + 1")) {
                for (int i = 0; i < 10; i++) {
                    s.setInt(1, i);
                    try (ResultSet r = s.executeQuery()) { r.next(); same(r.getInt(1), i + 1); }
                }
            }
            same(one(c, "SELECT count(*) FROM pg_prepared_statements"), 1L);
        }, "prepareThreshold", "3");
        check("prepared_statement_after_ddl", c -> {
            table(c, "jd_ddl", "id int primary key");
            run(c, "INSERT INTO jd_ddl VALUES (1)");
            try (PreparedStatement s = c.prepareStatement("SELECT * FROM jd_ddl")) {
                for (int i = 0; i < 4; i++) same(rows(s.executeQuery()).size(), 1);
                run(c, "ALTER TABLE jd_ddl ADD COLUMN t text DEFAULT 'x'");
                same(rows(s.executeQuery()), List.of(List.of(1, "x")));
            }
        }, "prepareThreshold", "1");
        check("batch_of_inserts", c -> {
            table(c, "jd_batch", "id int primary key, t text");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_batch VALUES (?, ?)")) {
                for (int i = 0; i < 500; i++) { s.setInt(1, i); s.setString(2, "t" + i); s.addBatch(); }
                int[] counts = s.executeBatch();
                same(Arrays.stream(counts).sum(), 500);
            }
            same(one(c, "SELECT count(*) FROM jd_batch"), 500L);
        });
        check("batch_rewritten_into_many_rows", c -> {
            table(c, "jd_batchr", "id int primary key, at timestamptz, n numeric");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_batchr VALUES (?, ?, ?)")) {
                for (int i = 0; i < 300; i++) { s.setInt(1, i); s.setObject(2, OffsetDateTime.now()); s.setBigDecimal(3, new BigDecimal("1.5")); s.addBatch(); }
                s.executeBatch();
            }
            same(one(c, "SELECT count(*) FROM jd_batchr"), 300L);
        }, "reWriteBatchedInserts", "true");
        check("batch_error_says_where", c -> {
            table(c, "jd_batche", "id int primary key");
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_batche VALUES (?)")) {
                for (int i : new int[] {1, 2, 1}) { s.setInt(1, i); s.addBatch(); }
                try {
                    s.executeBatch();
                    throw new AssertionError("no BatchUpdateException");
                } catch (BatchUpdateException e) {
                    same(e.getSQLState(), "23505");
                }
            }
            c.rollback();
            same(one(c, "SELECT count(*) FROM jd_batche"), 0L);
        });
        check("batch_with_generated_keys", c -> {
            table(c, "jd_keys", "id serial primary key, t text");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_keys (t) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                for (String t : new String[] {"a", "b", "c"}) { s.setString(1, t); s.addBatch(); }
                s.executeBatch();
                same(column(s.getGeneratedKeys(), "id"), List.of(1, 2, 3));
            }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_keys (t) VALUES ('d')", new String[] {"id"})) {
                s.executeUpdate();
                same(column(s.getGeneratedKeys(), "id"), List.of(4));
            }
        });
        check("statement_batch", c -> {
            table(c, "jd_sb", "id int");
            try (Statement s = c.createStatement()) {
                s.addBatch("INSERT INTO jd_sb VALUES (1), (2)");
                s.addBatch("UPDATE jd_sb SET id = id + 1");
                s.addBatch("DELETE FROM jd_sb WHERE id = 99");
                same(Arrays.toString(s.executeBatch()), "[2, 2, 0]");
            }
        });
        check("fetch_size_reads_in_pieces", c -> {
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("SELECT g, 'x' || g FROM generate_series(1, ?) AS g")) {
                s.setFetchSize(10);
                s.setInt(1, 35);
                long sum = 0;
                try (ResultSet r = s.executeQuery()) { while (r.next()) sum += r.getInt(1); }
                same(sum, 630L);
            }
            c.commit();
        });
        check("max_rows_and_scrolling", c -> {
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
                s.setMaxRows(5);
                ResultSet r = s.executeQuery("SELECT g FROM generate_series(1, 10) AS g");
                that(r.last(), "no last row");
                same(r.getInt(1), 5);
                that(r.absolute(2) && r.getInt(1) == 2, "absolute(2)");
            }
        });
        check("updatable_result_set", c -> {
            table(c, "jd_updatable", "id int primary key, t text");
            run(c, "INSERT INTO jd_updatable VALUES (1, 'a')");
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                ResultSet r = s.executeQuery("SELECT id, t FROM jd_updatable");
                r.next();
                r.updateString("t", "b");
                r.updateRow();
                r.moveToInsertRow();
                r.updateInt("id", 2);
                r.updateString("t", "c");
                r.insertRow();
            }
            same(rows(c, "SELECT * FROM jd_updatable ORDER BY id"), List.of(List.of(1, "b"), List.of(2, "c")));
        });
        check("transactions", c -> {
            table(c, "jd_tx", "id int primary key");
            c.setAutoCommit(false);
            run(c, "INSERT INTO jd_tx VALUES (1)");
            c.rollback();
            run(c, "INSERT INTO jd_tx VALUES (2)");
            c.commit();
            same(one(c, "SELECT id FROM jd_tx"), 2);
        });
        check("savepoints", c -> {
            table(c, "jd_sp", "id int primary key");
            c.setAutoCommit(false);
            run(c, "INSERT INTO jd_sp VALUES (1)");
            Savepoint s = c.setSavepoint("one");
            fails("23505", () -> run(c, "INSERT INTO jd_sp VALUES (1)"));
            c.rollback(s);
            Savepoint t = c.setSavepoint();
            run(c, "INSERT INTO jd_sp VALUES (2)");
            c.releaseSavepoint(t);
            c.commit();
            same(one(c, "SELECT count(*) FROM jd_sp"), 2L);
        });
        check("autosave_always", c -> {
            table(c, "jd_as", "id int primary key");
            c.setAutoCommit(false);
            run(c, "INSERT INTO jd_as VALUES (1)");
            fails("23505", () -> run(c, "INSERT INTO jd_as VALUES (1)"));
            run(c, "INSERT INTO jd_as VALUES (2)");
            c.commit();
            same(one(c, "SELECT count(*) FROM jd_as"), 2L);
        }, "autosave", "always");
        check("isolation_and_read_only", c -> {
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            same(c.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
            c.setReadOnly(true);
            c.setAutoCommit(false);
            fails("25006", () -> run(c, "CREATE TABLE jd_no (id int)"));
            c.rollback();
        });
        check("failed_transaction", c -> {
            c.setAutoCommit(false);
            fails("22012", () -> run(c, "SELECT 1/0"));
            fails("25P02", () -> run(c, "SELECT 1"));
            c.rollback();
            run(c, "SELECT 1");
        });
        check("error_states", c -> {
            table(c, "jd_err", "id int constraint jd_pk primary key, n int not null, k int constraint jd_ck check (k > 0), t varchar(3)");
            run(c, "INSERT INTO jd_err VALUES (1, 1, 1, 'x')");
            PSQLException e = fails("23505", () -> run(c, "INSERT INTO jd_err VALUES (1, 1)"));
            same(List.of(e.getServerErrorMessage().getConstraint(), e.getServerErrorMessage().getTable(), e.getServerErrorMessage().getDetail()), List.of("jd_pk", "jd_err", "Key (id)=(1) already exists."));
            same(fails("23502", () -> run(c, "INSERT INTO jd_err VALUES (2, NULL)")).getServerErrorMessage().getColumn(), "n");
            same(fails("23514", () -> run(c, "INSERT INTO jd_err VALUES (2, 1, 0)")).getServerErrorMessage().getConstraint(), "jd_ck");
            fails("22001", () -> run(c, "INSERT INTO jd_err VALUES (2, 1, 1, 'long')"));
            fails("42P01", () -> run(c, "SELECT * FROM jd_none"));
            same(fails("42703", () -> run(c, "SELECT none FROM jd_err")).getServerErrorMessage().getPosition(), 8);
            fails("42601", () -> run(c, "SELEC"));
            fails("42883", () -> run(c, "SELECT nothing(1)"));
            fails("22P02", () -> rows(c, "SELECT ?::int", "x"));
            fails("22003", () -> run(c, "SELECT 2147483647 + 1"));
            fails("42P07", () -> run(c, "CREATE TABLE jd_err (id int)"));
        });
        check("returning_and_upsert", c -> {
            table(c, "jd_up", "id int primary key, n int");
            String up = "INSERT INTO jd_up VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET n = jd_up.n + excluded.n RETURNING n";
            same(one(c, up, 1, 5), 5);
            same(one(c, up, 1, 5), 10);
        });
        check("limit_and_offset_parameters", c -> same(rows(c, "SELECT g FROM generate_series(1, 9) AS g LIMIT ? OFFSET ?", 2, 3), List.of(List.of(4), List.of(5))));
        check("several_results", c -> {
            try (Statement s = c.createStatement()) {
                that(s.execute("SELECT 1; SELECT 2, 3"), "no result");
                same(rows(s.getResultSet()), List.of(List.of(1)));
                that(s.getMoreResults(), "no second result");
                same(rows(s.getResultSet()), List.of(List.of(2, 3)));
            }
        });
        check("parameter_metadata", c -> {
            table(c, "jd_pm", "id int8 primary key, t text, at timestamptz");
            try (PreparedStatement s = c.prepareStatement("SELECT * FROM jd_pm WHERE id = ? AND t LIKE ? AND at < ?")) {
                ParameterMetaData m = s.getParameterMetaData();
                same(List.of(m.getParameterTypeName(1), m.getParameterTypeName(2), m.getParameterTypeName(3)), List.of("int8", "text", "timestamptz"));
            }
        });
        check("result_metadata", c -> {
            metadataTables(c);
            try (PreparedStatement s = c.prepareStatement("SELECT id, code AS c, price, at, count(*) OVER () FROM jd_meta")) {
                ResultSetMetaData m = s.getMetaData();
                List<Object> seen = new ArrayList<>();
                for (int i = 1; i <= 5; i++) seen.add(m.getColumnLabel(i) + " " + m.getColumnTypeName(i) + " " + m.getPrecision(i) + " " + m.getScale(i));
                same(seen, List.of("id serial 10 0", "c varchar 12 0", "price numeric 10 2", "at timestamptz 35 6", "count int8 19 0"));
                same(List.of(m.getTableName(1), m.getColumnName(2), m.isAutoIncrement(1), m.isNullable(2)), List.of("jd_meta", "c", true, ResultSetMetaData.columnNoNulls));
            }
        });
        check("metadata_tables", c -> {
            metadataTables(c);
            DatabaseMetaData m = c.getMetaData();
            same(column(m.getTables(null, "public", "jd\\_meta%", null), "TABLE_NAME", "TABLE_TYPE", "REMARKS").toString(),
                "[[jd_meta_c_pkey, INDEX, null], [jd_meta_pkey, INDEX, null], [jd_meta_u, INDEX, null], [jd_meta_id_seq, SEQUENCE, null], [jd_meta, TABLE, a table], [jd_meta_c, TABLE, null], [jd_meta_v, VIEW, null]]");
            same(column(m.getTables(null, null, "jd_meta_v", new String[] {"VIEW"}), "TABLE_NAME"), List.of("jd_meta_v"));
            that(column(m.getTables(null, "pg_catalog", "pg_class", null), "TABLE_TYPE").contains("SYSTEM TABLE"), "pg_class");
        });
        check("metadata_columns", c -> {
            metadataTables(c);
            List<Object> seen = column(c.getMetaData().getColumns(null, "public", "jd_meta", "%"), "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "COLUMN_DEF", "REMARKS", "ORDINAL_POSITION", "IS_AUTOINCREMENT");
            same(seen.toString(), "[[id, 4, serial, 10, 0, 0, nextval('jd_meta_id_seq'::regclass), null, 1, YES], [code, 12, varchar, 12, 0, 0, null, a column, 2, NO], "
                + "[price, 2, numeric, 10, 2, 1, 0, null, 3, NO], [at, 93, timestamptz, 35, 6, 1, null, null, 4, NO], [tags, 2003, _text, 2147483647, 0, 1, null, null, 5, NO]]");
        });
        check("metadata_primary_keys", c -> {
            metadataTables(c);
            same(column(c.getMetaData().getPrimaryKeys(null, "public", "jd_meta_c"), "COLUMN_NAME", "KEY_SEQ", "PK_NAME").toString(), "[[b, 1, jd_meta_c_pkey], [a, 2, jd_meta_c_pkey]]");
        });
        check("metadata_foreign_keys", c -> {
            metadataTables(c);
            String[] wanted = {"PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "FK_NAME", "PK_NAME", "DELETE_RULE", "DEFERRABILITY"};
            String expected = "[[jd_meta, id, jd_meta_c, m, jd_fk, jd_meta_pkey, 0, 7]]";
            same(column(c.getMetaData().getImportedKeys(null, "public", "jd_meta_c"), wanted).toString(), expected);
            same(column(c.getMetaData().getExportedKeys(null, "public", "jd_meta"), wanted).toString(), expected);
            same(column(c.getMetaData().getCrossReference(null, "public", "jd_meta", null, "public", "jd_meta_c"), wanted).toString(), expected);
        });
        check("metadata_indexes", c -> {
            metadataTables(c);
            same(column(c.getMetaData().getIndexInfo(null, "public", "jd_meta_c", false, true), "INDEX_NAME", "NON_UNIQUE", "ORDINAL_POSITION", "COLUMN_NAME").toString(),
                "[[jd_meta_c_pkey, false, 1, b], [jd_meta_c_pkey, false, 2, a], [jd_ix, true, 1, m], [jd_ix, true, 2, a]]");
            same(column(c.getMetaData().getBestRowIdentifier(null, "public", "jd_meta", 0, true), "COLUMN_NAME"), List.of("id"));
        });
        check("metadata_schemas_catalogs_types", c -> {
            DatabaseMetaData m = c.getMetaData();
            that(column(m.getSchemas(), "TABLE_SCHEM").containsAll(List.of("information_schema", "pg_catalog", "public")), "schemas");
            that(column(m.getCatalogs(), "TABLE_CAT").contains(DATABASE), "catalogs");
            that(column(m.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int4", "text", "jsonb", "timestamptz", "uuid")), "types");
            that(column(m.getTableTypes(), "TABLE_TYPE").contains("VIEW"), "table types");
            same(m.getMaxIndexLength() >= 0 && m.getMaxColumnsInIndex() == 32, true);
        });
        check("metadata_privileges_functions", c -> {
            metadataTables(c);
            that(column(c.getMetaData().getTablePrivileges(null, "public", "jd_meta"), "PRIVILEGE").contains("SELECT"), "no SELECT privilege");
            column(c.getMetaData().getFunctions(null, "public", "%"), "FUNCTION_NAME");
            column(c.getMetaData().getProcedures(null, "public", "%"), "PROCEDURE_NAME");
            column(c.getMetaData().getClientInfoProperties(), "NAME");
        });
        check("copy_manager", c -> {
            table(c, "jd_copy", "id int, t text");
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            same(copy.copyIn("COPY jd_copy FROM STDIN WITH (FORMAT csv)", new StringReader("1,a\n2,\"b,c\"\n")), 2L);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            copy.copyOut("COPY (SELECT * FROM jd_copy ORDER BY id) TO STDOUT", out);
            same(out.toString(), "1\ta\n2\tb,c\n");
        });
        check("notifications", c -> {
            run(c, "LISTEN jd_news");
            try (Connection other = connect(DATABASE)) { run(other, "NOTIFY jd_news, 'hey'"); }
            var got = c.unwrap(PGConnection.class).getNotifications(5000);
            same(got.length + got[0].getName() + got[0].getParameter(), "1jd_newshey");
        });
        check("warnings", c -> {
            try (Statement s = c.createStatement()) {
                s.execute("DROP TABLE IF EXISTS jd_never");
                same(s.getWarnings().getMessage(), "table \"jd_never\" does not exist, skipping");
            }
        });
        check("query_timeout", c -> {
            try (Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                fails("57014", () -> s.executeQuery("SELECT pg_sleep(10)"));
            }
            same(one(c, "SELECT 1"), 1);
        });
        check("cancel", c -> {
            try (Statement s = c.createStatement()) {
                new Thread(() -> { try { Thread.sleep(300); s.cancel(); } catch (Exception e) { } }).start();
                fails("57014", () -> s.executeQuery("SELECT pg_sleep(10)"));
            }
        });
        check("schema_and_client_info", c -> {
            run(c, "DROP SCHEMA IF EXISTS jd_schema CASCADE", "CREATE SCHEMA jd_schema", "CREATE TABLE jd_schema.t (id int)");
            c.setSchema("jd_schema");
            same(c.getSchema(), "jd_schema");
            same(one(c, "SELECT count(*) FROM t"), 0L);
            c.setClientInfo("ApplicationName", "jd");
            same(one(c, "SHOW application_name"), "jd");
        });
        check("options_and_current_schema", c -> same(one(c, "SELECT current_setting('statement_timeout') || current_setting('search_path')"), "4sjd_schema, public"),
            "options", "-c statement_timeout=4s", "currentSchema", "jd_schema, public");
        check("callable_function", c -> {
            try (CallableStatement s = c.prepareCall("{? = call upper(?)}")) {
                s.registerOutParameter(1, Types.VARCHAR);
                s.setString(2, "abc");
                s.execute();
                same(s.getString(1), "ABC");
            }
            same(one(c, "SELECT {fn concat('a', 'b')}"), "ab");
        });
        check("jdbc_escapes", c -> {
            same(one(c, "SELECT {d '2024-01-02'}::text"), "2024-01-02");
            same(one(c, "SELECT {fn length('abc')} + {fn mod(7, 4)}"), 6);
            same(one(c, "SELECT 'a_b' LIKE 'a!_b' {escape '!'}"), true);
        });
        check("enum_columns", c -> {
            run(c, "DROP TABLE IF EXISTS jd_enum", "DROP TYPE IF EXISTS jd_mood", "CREATE TYPE jd_mood AS ENUM ('sad', 'happy')");
            table(c, "jd_enum", "id int, m jd_mood");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_enum VALUES (1, ?::jd_mood)")) { s.setString(1, "happy"); s.executeUpdate(); }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jd_enum VALUES (2, ?)")) { s.setObject(1, "sad", Types.OTHER); s.executeUpdate(); }
            same(rows(c, "SELECT m FROM jd_enum ORDER BY m"), List.of(List.of("sad"), List.of("happy")));
        });
        check("hibernate_style_ddl_and_sequences", c -> {
            run(c, "drop table if exists jd_hib cascade", "drop sequence if exists jd_hib_seq",
                "create sequence jd_hib_seq start with 1 increment by 50",
                "create table jd_hib (id bigint not null, active boolean not null, created timestamp(6) with time zone, kind varchar(255) check (kind in ('A','B')), parent_id bigint, version integer not null, primary key (id))",
                "alter table if exists jd_hib add constraint FKjdhib foreign key (parent_id) references jd_hib",
                "alter table if exists jd_hib drop constraint if exists UKjdhib", "alter table if exists jd_hib add constraint UKjdhib unique (kind, parent_id)");
            same(one(c, "select nextval('jd_hib_seq')"), 1L);
            same(one(c, "select nextval('jd_hib_seq')"), 51L);
            try (PreparedStatement s = c.prepareStatement("insert into jd_hib (active,created,kind,parent_id,version,id) values (?,?,?,?,?,?)")) {
                s.setBoolean(1, true); s.setObject(2, OffsetDateTime.now()); s.setString(3, "A"); s.setNull(4, Types.BIGINT); s.setInt(5, 0); s.setLong(6, 1L);
                same(s.executeUpdate(), 1);
            }
            try (PreparedStatement s = c.prepareStatement("update jd_hib set active=?,version=? where id=? and version=?")) {
                s.setBoolean(1, false); s.setInt(2, 1); s.setLong(3, 1L); s.setInt(4, 5);
                same(s.executeUpdate(), 0);
            }
            same(rows(c, "select h.id,h.kind from jd_hib h left join jd_hib p on p.id=h.parent_id where h.kind=? order by h.id offset ? rows fetch first ? rows only", "A", 0, 5).size(), 1);
        });
        check("target_server_types_and_load_balance", c -> same(one(c, "SELECT pg_is_in_recovery()"), false), "targetServerType", "primary");
        if (System.getenv("CHRONOGATE_TRAVEL") != null) check("travels", c -> {
            table(c, "jd_past", "id int primary key, v text");
            run(c, "INSERT INTO jd_past VALUES (1, 'old')");
            Thread.sleep(20);
            String at = Instant.now().toString();
            Thread.sleep(20);
            run(c, "UPDATE jd_past SET v = 'new'");
            String query = "SELECT v FROM jd_past WHERE id = ?";
            try (Connection past = connect(DATABASE + "@" + at)) {
                same(one(past, query, 1), "old");
                fails("25006", () -> run(past, "DELETE FROM jd_past"));
            }
            try (Connection past = connect(DATABASE, "options", "-c chronogate.as_of=" + at)) { same(one(past, query, 1), "old"); }
            c.setAutoCommit(false);
            run(c, "SET LOCAL chronogate.as_of = '" + at + "'");
            same(one(c, query, 1), "old");
            c.commit();
            same(one(c, query, 1), "new");
            same(one(c, "SELECT v FROM jd_past FOR SYSTEM_TIME AS OF ?", OffsetDateTime.parse(at)), "old");
        });
    }

    static void types(Connection c) throws Exception {
        same(one(c, "SELECT ?::int2", (short) 5), 5);
        same(one(c, "SELECT ?::int4", -7), -7);
        same(one(c, "SELECT ?::int8", 1L << 40), 1L << 40);
        same(one(c, "SELECT ?::float4", 1.5f), 1.5f);
        same(one(c, "SELECT ?::float8", 0.1), 0.1);
        same(one(c, "SELECT ?::numeric", new BigDecimal("123.4500")), new BigDecimal("123.4500"));
        same(one(c, "SELECT ?::bool", true), true);
        same(one(c, "SELECT ?::text", "ü'\\"), "ü'\\");
        same(one(c, "SELECT ?::bytea", new byte[] {0, -1, 39}), new byte[] {0, -1, 39});
        same(one(c, "SELECT ?::uuid", new UUID(3, 4)), new UUID(3, 4));
        same(one(c, "SELECT ?::date", LocalDate.of(2024, 2, 29)), java.sql.Date.valueOf("2024-02-29"));
        same(one(c, "SELECT ?::timestamp", LocalDateTime.of(2024, 1, 2, 3, 4, 5)), Timestamp.valueOf("2024-01-02 03:04:05"));
        same(((Timestamp) one(c, "SELECT ?::timestamptz", OffsetDateTime.parse("2024-01-02T03:04:05Z"))).toInstant(), Instant.parse("2024-01-02T03:04:05Z"));
        same(one(c, "SELECT '1 day 2 hours'::interval").toString(), "0 years 0 mons 1 days 2 hours 0 mins 0.0 secs");
    }

    public static void main(String[] wanted) throws Exception {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        define();
        int passed = 0, failed = 0;
        ExecutorService threads = Executors.newCachedThreadPool(r -> { Thread t = new Thread(r); t.setDaemon(true); return t; });
        for (var entry : CHECKS.entrySet()) {
            if (wanted.length > 0 && !Arrays.asList(wanted).contains(entry.getKey())) continue;
            String reason = null;
            Future<?> done = threads.submit(() -> { entry.getValue().run(); return null; });
            try {
                done.get(30, TimeUnit.SECONDS);
            } catch (TimeoutException e) {
                reason = "no end within 30 s";
            } catch (ExecutionException e) {
                reason = String.valueOf(e.getCause().getMessage() == null ? e.getCause() : e.getCause().getMessage()).replaceAll("\\s+", " ");
            }
            if (reason == null) passed++; else failed++;
            System.out.println(reason == null ? "ok " + entry.getKey() : "not ok " + entry.getKey() + ": " + reason.substring(0, Math.min(400, reason.length())));
        }
        System.out.println("jdbc: " + passed + " passed, " + failed + " failed");
        System.exit(0);
    }
}
