-- What happened to each row, by whom and why.
CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance numeric(12,2) NOT NULL);
SET chronogate.actor = 'teller 7';
INSERT INTO account VALUES (1, 'ada', 100), (2, 'bob', 50);

BEGIN;
SET LOCAL chronogate.reason = 'transfer 4711';
UPDATE account SET balance = balance - 30 WHERE id = 1;
UPDATE account SET balance = balance + 30 WHERE id = 2;
COMMIT;

SET chronogate.reason = 'account closed';
DELETE FROM account WHERE id = 2;

-- States: a DELETE is not a state, it is how the last one ended.
SELECT id, balance, _version, _op, _end_op, _actor, _reason FROM account__history ORDER BY id, _version;

-- Changes: one row per version, the DELETE included.
SELECT primary_key, operation, before->>'balance' AS before, after->>'balance' AS after FROM account__changes ORDER BY transaction_id, primary_key;

-- The commits: the transfer is one.
SELECT actor, reason, tables, rows FROM chronogate.commits WHERE rows > 0 ORDER BY commit;

-- The version as an optimistic lock.
UPDATE account SET balance = 0 WHERE id = 1 AND _version = 0;
UPDATE account SET balance = 0 WHERE id = 1 AND _version = 1 RETURNING id, balance;

-- The difference of two instants.
SELECT diff_type, from_id, to_id, to_balance FROM account__diff('2000-01-01', now());
