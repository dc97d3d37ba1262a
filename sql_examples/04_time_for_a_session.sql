-- For tools that cannot change their SQL: the time belongs to the session.
CREATE TABLE price (item text PRIMARY KEY, amount numeric(8,2) NOT NULL);
COPY price__history (item, amount, _system_from, _system_to) FROM STDIN (FORMAT csv);
tea,2.50,2024-01-01 00:00:00+00,2024-06-01 00:00:00+00
tea,2.80,2024-06-01 00:00:00+00,
\.

SET chronogate.as_of = '2024-02-01 00:00:00+00';
SELECT amount FROM price;
-- A clause beats the setting.
SELECT amount FROM price FOR SYSTEM_TIME AS OF '2024-07-01';
-- The past cannot be changed.
INSERT INTO price VALUES ('salt', 1);
SHOW chronogate.as_of;
RESET chronogate.as_of;
SELECT amount FROM price;

-- For one transaction only.
BEGIN AS OF SYSTEM TIME '2024-02-01 00:00:00+00';
SELECT amount FROM price;
COMMIT;
BEGIN;
SET LOCAL chronogate.as_of = '2024-02-01 00:00:00+00';
SELECT amount FROM price;
ROLLBACK;
SELECT amount FROM price;

-- The future is refused: its answer could not be repeated.
SET chronogate.as_of = '2999-01-01';

-- By name of the database: reconnect and ask the same.
\connect chronogate@2024-02-01
SELECT amount FROM price;
