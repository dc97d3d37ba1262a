-- One past, many spellings: whichever your tools and habits bring.
CREATE TABLE price (item text PRIMARY KEY, amount numeric(8,2) NOT NULL);
COPY price__history (item, amount, _system_from, _system_to) FROM STDIN (FORMAT csv);
tea,2.50,2024-01-01 00:00:00+00,2024-06-01 00:00:00+00
tea,2.80,2024-06-01 00:00:00+00,
\.

-- SQL:2011, MariaDB, SQL Server, XTDB, BigQuery
SELECT amount FROM price FOR SYSTEM_TIME AS OF TIMESTAMP '2024-02-01 00:00:00';
SELECT p.amount FROM price p FOR SYSTEM_TIME AS OF '2024-02-01';
-- CockroachDB
SELECT amount FROM price AS OF SYSTEM TIME '2024-02-01';
-- Dolt, TiDB, Oracle, Materialize
SELECT amount FROM price AS OF '2024-02-01';
SELECT amount FROM price AS OF TIMESTAMP '2024-02-01';
-- Trino, Spark, Delta
SELECT amount FROM price FOR TIMESTAMP AS OF TIMESTAMP '2024-02-01 00:00:00';
SELECT amount FROM price TIMESTAMP AS OF '2024-02-01';
-- Snowflake
SELECT amount FROM price AT (TIMESTAMP => '2024-02-01'::timestamptz);
SELECT amount FROM price BEFORE (TIMESTAMP => '2024-06-01'::timestamptz);
-- A function, for tools that parse SQL themselves
SELECT amount FROM price__as_of('2024-02-01');

-- What time travel cannot mean is refused, never ignored.
UPDATE price FOR SYSTEM_TIME AS OF '2024-02-01' SET amount = 0;
DELETE FROM price FOR SYSTEM_TIME AS OF '2024-02-01';
SELECT amount FROM price FOR SYSTEM_TIME AS OF NULL;
SELECT amount FROM price FOR SYSTEM_TIME AS OF 'yesteryear';
