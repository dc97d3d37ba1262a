"""peewee: a small ORM over psycopg2, with its own reflection."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import peewee
from playhouse.postgres_ext import ArrayField, BinaryJSONField, PostgresqlExtDatabase
from playhouse.reflection import generate_models
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same, that

checks = Checks("peewee")


def database(name=DATABASE):
    return PostgresqlExtDatabase(name, host=HOST, port=PORT, user=USER, password=PASSWORD, connect_timeout=25)


db = database()


class Author(peewee.Model):
    name = peewee.CharField(unique=True)
    age = peewee.IntegerField(null=True)
    tags = ArrayField(peewee.TextField, null=True, index=False)
    data = BinaryJSONField(null=True, index=False)

    class Meta:
        database = db
        table_name = "pw_author"


class Book(peewee.Model):
    author = peewee.ForeignKeyField(Author, backref="books", on_delete="CASCADE")
    title = peewee.TextField()
    price = peewee.DecimalField(max_digits=10, decimal_places=2, default=0)
    at = peewee.DateTimeField(null=True)

    class Meta:
        database = db
        table_name = "pw_book"
        indexes = ((("author", "title"), True),)


def filled():
    db.connect(reuse_if_open=True)
    db.drop_tables([Book, Author], safe=True)
    db.create_tables([Author, Book])
    author = Author.create(name="a", age=1, tags=["p", "q"], data={"k": {"n": 1}})
    Book.insert_many([{"author": author, "title": f"t{i}", "price": i} for i in range(5)]).execute()
    return author


@checks.check
def creates_and_joins():
    filled()
    rows = [(b.author.name, b.title) for b in Book.select(Book, Author).join(Author).order_by(Book.title).limit(2)]
    same(rows, [("a", "t0"), ("a", "t1")])


@checks.check
def prefetches():
    filled()
    authors = list(peewee.prefetch(Author.select(), Book.select()))
    same([len(a.books) for a in authors], [5])


@checks.check
def savepoints():
    filled()
    with db.atomic():
        with raises(peewee.IntegrityError):
            with db.atomic():
                Author.create(name="a")
        Author.create(name="c")
    same(Author.select().count(), 2)


@checks.check
def upserts():
    filled()
    Author.insert(name="a", age=5).on_conflict(conflict_target=[Author.name], update={Author.age: 9}).execute()
    same(Author.get(Author.name == "a").age, 9)
    Author.insert(name="a", age=7).on_conflict_ignore().execute()
    same(Author.get(Author.name == "a").age, 9)


@checks.check
def aggregates_and_windows():
    filled()
    same(Book.select(peewee.fn.COUNT(Book.id), peewee.fn.MAX(Book.title)).tuples().get(), (5, "t4"))
    ranked = Book.select(Book.title, peewee.fn.ROW_NUMBER().over(order_by=[Book.title.desc()]).alias("n")).order_by(Book.title)
    same([b.n for b in ranked], [5, 4, 3, 2, 1])


@checks.check
def arrays_and_json():
    filled()
    same(Author.select().where(Author.tags.contains("p")).count(), 1)
    same(Author.select().where(Author.data["k"]["n"] == "1").count(), 1)
    same(Author.select().where(Author.data.contains({"k": {"n": 1}})).count(), 1)
    same(Author.get().tags, ["p", "q"])


@checks.check
def reflects():
    filled()
    same([c.name for c in db.get_columns("pw_book")], ["id", "author_id", "title", "price", "at"])
    same(db.get_primary_keys("pw_book"), ["id"])
    same([(k.column, k.dest_table, k.dest_column) for k in db.get_foreign_keys("pw_book")], [("author_id", "pw_author", "id")])
    indexes = sorted((i.name, tuple(i.columns), i.unique) for i in db.get_indexes("pw_book"))
    same(indexes, [("book_author_id", ("author_id",), False), ("book_author_id_title", ("author_id", "title"), True), ("pw_book_pkey", ("id",), True)])
    models = generate_models(db, table_names=["pw_author", "pw_book"])
    same(models["pw_book"].select().count(), 5)


@checks.check
def deletes_with_what_depends():
    filled()
    same(Author.delete().where(Author.name == "a").execute(), 1)
    same(Book.select().count(), 0)


@checks.check
def returns_what_it_wrote():
    filled()
    rows = Book.update(price=Book.price + 1).where(Book.title == "t1").returning(Book.title, Book.price)
    same([(r.title, str(r.price)) for r in rows.execute()], [("t1", "2.00")])


@checks.travel
def travels():
    author = filled()
    at = past_instant()
    author.delete_instance(recursive=True)
    same(Book.select().count(), 0)
    past = database(f"{DATABASE}@{at}")
    with past.bind_ctx([Author, Book]):
        same([(a.name, len(a.books)) for a in Author.select()], [("a", 5)])
        with raises(peewee.PeeweeException):
            Author.create(name="z")
    past.close()
    that(at, "an instant")


checks.main()
