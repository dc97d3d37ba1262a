-- Views: written through where they show rows of one table, and materialized ones that keep what they have shown.
CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance numeric(10, 2) NOT NULL, closed bool NOT NULL DEFAULT false);
CREATE VIEW open_account AS SELECT id, owner AS holder, balance FROM account WHERE NOT closed AND balance >= 0 WITH CHECK OPTION;
INSERT INTO open_account VALUES (1, 'ada', 10), (2, 'bob', 20) RETURNING holder, balance;
UPDATE open_account SET balance = balance + 5 WHERE holder = 'ada' RETURNING *;
-- What the view would not show is refused.
UPDATE open_account SET balance = -1 WHERE id = 1;
SELECT id, owner, balance FROM account ORDER BY id;

-- A refresh is a commit: what it replaced is history.
CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS held FROM account;
SELECT held FROM total;
DELETE FROM open_account WHERE holder = 'bob';
SELECT held FROM total;
REFRESH MATERIALIZED VIEW total;
SELECT held FROM total;
SELECT held, _end_op FROM total__history ORDER BY _system_from;
