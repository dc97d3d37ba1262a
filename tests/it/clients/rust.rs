//! tokio-postgres against the server: the checks of the client that is written in Rust.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use futures::{SinkExt, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, IsolationLevel, NoTls, SimpleQueryMessage};
use uuid::Uuid;

use super::Results;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Done = Result<(), Failure>;
type Boxed = Pin<Box<dyn Future<Output = Done> + Send>>;
type Check = fn(tokio_postgres::Config) -> Boxed;

/// `name => |config, client| async body` for each check; the client is connected.
macro_rules! checks {
    ($($name:ident => |$config:ident, $client:ident| $body:block)*) => {
        const CHECKS: &[(&str, Check)] = &[$((stringify!($name), |config| Box::pin(async move {
            #[allow(unused_mut, unused_variables, reason = "not every check needs both")]
            let (mut $client, $config) = (open(&config).await?, config);
            $body
            Ok(())
        }))),*];
    };
}

async fn open(config: &tokio_postgres::Config) -> Result<Client, Failure> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn same<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Done {
    if seen == expected { Ok(()) } else { Err(format!("answer is {seen:?}, not {expected:?}").into()) }
}

fn fails<T>(result: Result<T, tokio_postgres::Error>, code: &SqlState) -> Result<tokio_postgres::Error, Failure> {
    match result {
        Ok(_) => Err(format!("nothing failed with {}", code.code()).into()),
        Err(error) if error.code() == Some(code) => Ok(error),
        Err(error) => Err(format!("{error:?} is not {}", code.code()).into()),
    }
}

async fn both_ways<T>(client: &Client, ty: &str, value: T) -> Done
where
    T: ToSql + Sync + PartialEq + std::fmt::Debug + for<'a> tokio_postgres::types::FromSql<'a>,
{
    let row = client.query_one(&format!("SELECT $1::{ty}"), &[&value]).await?;
    same(row.try_get::<_, T>(0)?, value)
}

/// Runs every check, each on connections of its own.
pub fn results(address: SocketAddr, password: &str, database: &str, travels: bool) -> Results {
    let mut config = crate::harness::config(address);
    config.password(password).dbname(database);
    crate::harness::run(async {
        let mut results = Results::new();
        for (name, check) in CHECKS {
            if name.starts_with("travels") && !travels {
                continue;
            }
            let reason = match tokio::time::timeout(Duration::from_secs(30), check(config.clone())).await {
                Ok(done) => done.err().map(|error| describe(&*error)),
                Err(_) => Some("no end within 30 s".to_owned()),
            };
            results.insert((*name).to_owned(), reason);
        }
        results
    })
}

fn describe(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error) {
        Some(told) => format!("{}: {}", told.code().code(), told.message()),
        None => error.to_string(),
    }
}

/// The time between what was committed before and what is committed after.
async fn past_instant(client: &Client) -> Result<String, Failure> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let at = client.query_one("SELECT clock_timestamp()::text", &[]).await?.try_get(0)?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(at)
}

checks! {
    connects => |config, client| {
        same(client.query_one("SELECT 1", &[]).await?.try_get::<_, i32>(0)?, 1)?;
        same(client.is_closed(), false)?;
    }
    wrong_password => |config, client| {
        let mut wrong = config.clone();
        wrong.password("no");
        fails(wrong.connect(NoTls).await, &SqlState::INVALID_PASSWORD)?;
    }
    numbers_both_ways => |config, client| {
        both_ways(&client, "int2", 5i16).await?;
        both_ways(&client, "int4", -7i32).await?;
        both_ways(&client, "int8", 1i64 << 40).await?;
        both_ways(&client, "float4", 1.5f32).await?;
        both_ways(&client, "float8", 0.1f64).await?;
        both_ways(&client, "bool", true).await?;
        both_ways(&client, "oid", 23u32).await?;
    }
    text_and_bytes_both_ways => |config, client| {
        both_ways(&client, "text", "ü'\\".to_owned()).await?;
        both_ways(&client, "varchar", String::new()).await?;
        both_ways(&client, "bytea", vec![0u8, 255, 39]).await?;
    }
    json_and_uuid_both_ways => |config, client| {
        both_ways(&client, "jsonb", json!({"a": [1, null]})).await?;
        both_ways(&client, "json", json!({"b": "x"})).await?;
        both_ways(&client, "uuid", Uuid::from_u128(7)).await?;
    }
    times_both_ways => |config, client| {
        both_ways(&client, "date", chrono::NaiveDate::from_ymd_opt(2024, 2, 29).ok_or("a date")?).await?;
        both_ways(&client, "time", chrono::NaiveTime::from_hms_micro_opt(1, 2, 3, 4).ok_or("a time")?).await?;
        let at = chrono::DateTime::from_timestamp_micros(1_709_200_800_000_001).ok_or("an instant")?;
        both_ways(&client, "timestamptz", at).await?;
        both_ways(&client, "timestamp", at.naive_utc()).await?;
        both_ways(&client, "timestamptz", SystemTime::UNIX_EPOCH + Duration::from_secs(5)).await?;
    }
    arrays_and_nulls_both_ways => |config, client| {
        both_ways(&client, "int4[]", vec![Some(1i32), None, Some(3)]).await?;
        both_ways(&client, "text[]", vec!["a".to_owned(), "b\"c".to_owned()]).await?;
        both_ways(&client, "uuid[]", vec![Uuid::from_u128(1)]).await?;
        both_ways(&client, "int8", None::<i64>).await?;
        both_ways(&client, "text[]", Vec::<String>::new()).await?;
    }
    statements_tell_their_types => |config, client| {
        client.batch_execute("CREATE TABLE tp_types (id int8 PRIMARY KEY, t text, n numeric(8,2), at timestamptz, tags text[])").await?;
        let types = async |sql: &str| client.prepare(sql).await.map(|s| s.params().to_vec());
        same(types("SELECT * FROM tp_types WHERE id = $1 AND t = $2 LIMIT $3").await?, vec![Type::INT8, Type::TEXT, Type::INT8])?;
        same(types("SELECT * FROM tp_types WHERE id = ANY($1) AND at > $2").await?, vec![Type::INT8_ARRAY, Type::TIMESTAMPTZ])?;
        same(types("UPDATE tp_types SET n = $1, tags = $2 WHERE id IN ($3, $4)").await?,
             vec![Type::NUMERIC, Type::TEXT_ARRAY, Type::INT8, Type::INT8])?;
        same(types("INSERT INTO tp_types (t, id) VALUES ($1, $2)").await?, vec![Type::TEXT, Type::INT8])?;
        let columns: Vec<_> = client.prepare("SELECT id, t, n, count(*) AS c FROM tp_types GROUP BY 1, 2, 3").await?
            .columns().iter().map(|c| (c.name().to_owned(), c.type_().clone())).collect();
        same(columns, [("id", Type::INT8), ("t", Type::TEXT), ("n", Type::NUMERIC), ("c", Type::INT8)].map(|(n, t)| (n.to_owned(), t)).to_vec())?;
    }
    declared_types_are_kept => |config, client| {
        let statement = client.prepare_typed("SELECT $1, $2 + 1", &[Type::INT4, Type::INT8]).await?;
        same(statement.params().to_vec(), vec![Type::INT4, Type::INT8])?;
        let row = client.query_one(&statement, &[&5i32, &6i64]).await?;
        same((row.try_get::<_, i32>(0)?, row.try_get::<_, i64>(1)?), (5, 7))?;
        let row = client.query_typed("SELECT $1 || 'x'", &[(&"a", Type::TEXT)]).await?;
        same(row.first().ok_or("a row")?.try_get::<_, String>(0)?, "ax".to_owned())?;
    }
    writes_count_and_return => |config, client| {
        client.batch_execute("CREATE TABLE tp_write (id serial PRIMARY KEY, t text)").await?;
        same(client.execute("INSERT INTO tp_write (t) VALUES ($1), ($2)", &[&"a", &"b"]).await?, 2)?;
        let row = client.query_one("INSERT INTO tp_write (t) VALUES ($1) RETURNING id, t", &[&"c"]).await?;
        same((row.try_get::<_, i32>("id")?, row.try_get::<_, String>("t")?), (3, "c".to_owned()))?;
        same(client.execute("UPDATE tp_write SET t = 'z' WHERE id > $1", &[&1]).await?, 2)?;
        same(client.execute("DELETE FROM tp_write WHERE id = $1", &[&99]).await?, 0)?;
    }
    upsert => |config, client| {
        client.batch_execute("CREATE TABLE tp_up (id int PRIMARY KEY, n int NOT NULL)").await?;
        let up = client.prepare("INSERT INTO tp_up VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = tp_up.n + excluded.n RETURNING n").await?;
        for expected in [5, 10] {
            same(client.query_one(&up, &[&1, &5]).await?.try_get::<_, i32>(0)?, expected)?;
        }
    }
    transactions => |config, client| {
        client.batch_execute("CREATE TABLE tp_tx (id int PRIMARY KEY)").await?;
        let tx = client.transaction().await?;
        tx.execute("INSERT INTO tp_tx VALUES (1)", &[]).await?;
        tx.rollback().await?;
        let mut tx = client.transaction().await?;
        tx.execute("INSERT INTO tp_tx VALUES (2)", &[]).await?;
        let inner = tx.savepoint("inner").await?;
        fails(inner.execute("INSERT INTO tp_tx VALUES (2)", &[]).await, &SqlState::UNIQUE_VIOLATION)?;
        inner.rollback().await?;
        tx.commit().await?;
        same(client.query_one("SELECT count(*) FROM tp_tx", &[]).await?.try_get::<_, i64>(0)?, 1)?;
    }
    transaction_modes => |config, client| {
        let tx = client.build_transaction().isolation_level(IsolationLevel::Serializable).read_only(true).deferrable(true).start().await?;
        same(tx.query_one("SHOW transaction_isolation", &[]).await?.try_get::<_, String>(0)?, "serializable".to_owned())?;
        fails(tx.batch_execute("CREATE TABLE tp_no (id int)").await, &SqlState::READ_ONLY_SQL_TRANSACTION)?;
    }
    portals_read_in_pieces => |config, client| {
        let tx = client.transaction().await?;
        let portal = tx.bind("SELECT g FROM generate_series(1, $1::int) AS g", &[&25]).await?;
        let mut sizes = Vec::new();
        loop {
            let rows = tx.query_portal(&portal, 10).await?;
            sizes.push(rows.len());
            if rows.len() < 10 { break }
        }
        same(sizes, vec![10, 10, 5])?;
    }
    pipelined_queries => |config, client| {
        let (client, numbers) = (&client, 0..30i32);
        let answers = futures::future::try_join_all(numbers.map(|i| async move { client.query_one("SELECT $1::int4 * 2", &[&i]).await })).await?;
        let doubled: Result<Vec<i32>, _> = answers.iter().map(|row| row.try_get(0)).collect();
        same(doubled?, (0..30).map(|i| i * 2).collect())?;
    }
    simple_queries => |config, client| {
        let messages = client.simple_query("SELECT 1 AS a; CREATE TEMP TABLE tp_temp (id int); INSERT INTO tp_temp VALUES (1), (2)").await?;
        let counts: Vec<u64> = messages.iter().filter_map(|m| if let SimpleQueryMessage::CommandComplete(n) = m { Some(*n) } else { None }).collect();
        same(counts, vec![1, 0, 2])?;
    }
    copy_text => |config, client| {
        client.batch_execute("CREATE TABLE tp_copy (id int, t text)").await?;
        let mut sink = pin!(client.copy_in::<_, bytes::Bytes>("COPY tp_copy FROM STDIN").await?);
        sink.send(bytes::Bytes::from_static(b"1\ta\n2\t\\N\n")).await?;
        same(sink.as_mut().finish().await?, 2)?;
        let out: Vec<bytes::Bytes> = client.copy_out("COPY (SELECT * FROM tp_copy ORDER BY id) TO STDOUT").await?.try_collect().await?;
        same(out.concat(), b"1\ta\n2\t\\N\n".to_vec())?;
    }
    copy_binary => |config, client| {
        client.batch_execute("CREATE TABLE tp_copyb (id int, t text, j jsonb, at timestamptz)").await?;
        let types = [Type::INT4, Type::TEXT, Type::JSONB, Type::TIMESTAMPTZ];
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in("COPY tp_copyb FROM STDIN BINARY").await?, &types));
        for id in 0..20i32 {
            writer.as_mut().write(&[&id, &"x", &json!({"k": id}), &at]).await?;
        }
        same(writer.finish().await?, 20)?;
        let out = client.copy_out("COPY (SELECT * FROM tp_copyb ORDER BY id) TO STDOUT BINARY").await?;
        let rows: Vec<_> = BinaryCopyOutStream::new(out, &types).try_collect().await?;
        same((rows.len(), rows[7].try_get::<Value>(2)?), (20, json!({"k": 7})))?;
    }
    error_fields => |config, client| {
        client.batch_execute("CREATE TABLE tp_err (id int CONSTRAINT tp_pk PRIMARY KEY, n int NOT NULL)").await?;
        client.execute("INSERT INTO tp_err VALUES (1, 1)", &[]).await?;
        let error = fails(client.execute("INSERT INTO tp_err VALUES ($1, 1)", &[&1]).await, &SqlState::UNIQUE_VIOLATION)?;
        let told = error.as_db_error().ok_or("a server's error")?;
        same((told.constraint(), told.table(), told.schema()), (Some("tp_pk"), Some("tp_err"), Some("public")))?;
        let error = fails(client.execute("INSERT INTO tp_err VALUES (2, NULL)", &[]).await, &SqlState::NOT_NULL_VIOLATION)?;
        same(error.as_db_error().and_then(|e| e.column()), Some("n"))?;
        let error = fails(client.prepare("SELECT nope FROM tp_err").await, &SqlState::UNDEFINED_COLUMN)?;
        same(error.as_db_error().and_then(|e| e.position().cloned()), Some(tokio_postgres::error::ErrorPosition::Original(8)))?;
    }
    cancel => |config, client| {
        let token = client.cancel_token();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await
        });
        fails(client.query("SELECT pg_sleep(20)", &[]).await, &SqlState::QUERY_CANCELED)?;
        same(client.query_one("SELECT 1", &[]).await?.try_get::<_, i32>(0)?, 1)?;
    }
    notifications => |config, client| {
        let (listener, mut connection) = config.connect(NoTls).await?;
        let (sender, mut heard) = futures::channel::mpsc::unbounded();
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(n) = message {
                    let _ = sender.unbounded_send((n.channel().to_owned(), n.payload().to_owned()));
                }
            }
        });
        listener.batch_execute("LISTEN tp_news").await?;
        client.batch_execute("NOTIFY tp_news, 'hi'").await?;
        same(heard.next().await, Some(("tp_news".to_owned(), "hi".to_owned())))?;
    }
    enum_type => |config, client| {
        client.batch_execute("CREATE TYPE tp_mood AS ENUM ('sad', 'happy'); CREATE TABLE tp_enum (m tp_mood)").await?;
        let statement = client.prepare("INSERT INTO tp_enum VALUES ($1) RETURNING m").await?;
        same(statement.params()[0].name().to_owned(), "tp_mood".to_owned())?;
    }
    startup_settings => |config, client| {
        let mut other = config.clone();
        other.application_name("tp_app").options("-c statement_timeout=4s -c search_path=pg_catalog");
        let other = open(&other).await?;
        let row = other.query_one("SELECT current_setting('application_name') || current_setting('statement_timeout')", &[]).await?;
        same(row.try_get::<_, String>(0)?, "tp_app4s".to_owned())?;
    }
    rows_stream => |config, client| {
        let nothing: [&(dyn ToSql + Sync); 0] = [];
        let rows = client.query_raw("SELECT g FROM generate_series(1, 1000) AS g", nothing).await?;
        let sum = rows.try_fold(0i64, |sum, row| async move { Ok(sum + i64::from(row.try_get::<_, i32>(0)?)) }).await?;
        same(sum, 500_500)?;
    }
    travels => |config, client| {
        client.batch_execute("CREATE TABLE tp_past (id int PRIMARY KEY, v text); INSERT INTO tp_past VALUES (1, 'old')").await?;
        let at = past_instant(&client).await?;
        client.batch_execute("UPDATE tp_past SET v = 'new'").await?;
        let read = "SELECT v FROM tp_past WHERE id = $1";
        let (mut by_name, mut by_option) = (config.clone(), config.clone());
        by_name.dbname(format!("{}@{at}", config.get_dbname().ok_or("a database")?));
        by_option.options(format!("-c chronogate.as_of={}", at.replace(' ', "\\ ")));
        for past in [by_name, by_option] {
            same(open(&past).await?.query_one(read, &[&1]).await?.try_get::<_, String>(0)?, "old".to_owned())?;
        }
        let tx = client.transaction().await?;
        tx.batch_execute(&format!("SET LOCAL chronogate.as_of = '{at}'")).await?;
        same(tx.query_one(read, &[&1]).await?.try_get::<_, String>(0)?, "old".to_owned())?;
        tx.commit().await?;
        same(client.query_one(read, &[&1]).await?.try_get::<_, String>(0)?, "new".to_owned())?;
    }
}
