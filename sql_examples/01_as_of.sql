-- A table whose history is loaded with its periods: half-open, the open end NULL.
CREATE TABLE price (item text PRIMARY KEY, amount numeric(8,2) NOT NULL);
COPY price__history (item, amount, _system_from, _system_to) FROM STDIN (FORMAT csv);
tea,2.50,2024-01-01 00:00:00+00,2024-06-01 00:00:00+00
tea,2.80,2024-06-01 00:00:00+00,2025-02-01 00:00:00+00
tea,3.10,2025-02-01 00:00:00+00,
mate,4.00,2024-03-01 00:00:00+00,2024-09-01 00:00:00+00
salt,0.90,2024-01-01 00:00:00+00,
\.

-- Today.
SELECT * FROM price ORDER BY item;

-- Then. Mate was sold in spring and is not today.
SELECT * FROM price FOR SYSTEM_TIME AS OF '2024-04-01' ORDER BY item;

-- The bound is inclusive: at the instant of a change the new state is seen.
SELECT amount FROM price FOR SYSTEM_TIME AS OF '2024-06-01 00:00:00+00' WHERE item = 'tea';
SELECT amount FROM price FOR SYSTEM_TIME AS OF '2024-05-31 23:59:59.999999+00' WHERE item = 'tea';

-- Before the first version there is nothing, and that is not an error.
SELECT count(*) FROM price FOR SYSTEM_TIME AS OF '1999-01-01';

-- Two instants in one statement.
SELECT now_.item, past.amount AS was, now_.amount AS is
FROM price AS now_
JOIN price FOR SYSTEM_TIME AS OF '2024-04-01' AS past ON past.item = now_.item
ORDER BY now_.item;

-- Ranges: every state visible at some instant of the span.
SELECT item, amount, _system_from, _system_to FROM price FOR SYSTEM_TIME FROM '2024-06-01' TO '2024-09-01' ORDER BY item, _system_from;
SELECT item, amount FROM price FOR SYSTEM_TIME CONTAINED IN ('2024-02-01', '2024-12-31') ORDER BY item;
SELECT count(*) FROM price FOR SYSTEM_TIME ALL;
