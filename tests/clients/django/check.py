"""Django against the server: migrations written and run by Django itself, the ORM, inspectdb, transactions, aggregates."""

import io
import os
import shutil
import sys
import tempfile
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
FOLDER = tempfile.mkdtemp()
sys.path.insert(0, FOLDER)
import django
from checks import DATABASE, HOST, PASSWORD, PORT, TRAVEL, USER, Checks, past_instant, raises, same, that
from django.conf import settings

checks = Checks("django")
APP = os.path.join(FOLDER, "shop")
os.makedirs(os.path.join(APP, "migrations"))
for path in ("__init__.py", "migrations/__init__.py"):
    open(os.path.join(APP, path), "w").close()
MODELS = '''
import uuid
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BTreeIndex
from django.db import models
from django.db.models import Q


class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)
    email = models.EmailField(blank=True, default="")
    born = models.DateField(null=True)

    class Meta:
        db_table_comment = "who writes"


class Tag(models.Model):
    slug = models.SlugField(unique=True)


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    title = models.CharField(max_length=200, db_index=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    pages = models.PositiveIntegerField(default=0)
    published = models.DateTimeField(null=True)
    tags = models.ManyToManyField(Tag)
    meta = models.JSONField(default=dict)
    words = ArrayField(models.TextField(), default=list)
    key = models.UUIDField(default=uuid.uuid4, unique=True)
    cover = models.BinaryField(null=True)
    reading = models.DurationField(null=True)
    rating = models.FloatField(null=True)
    sold_out = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["author", "title"], name="shop_author_title"),
            models.CheckConstraint(condition=Q(price__gte=0), name="shop_price_not_negative"),
        ]
        indexes = [BTreeIndex(fields=["published", "price"], name="shop_published")]


class Profile(models.Model):
    author = models.OneToOneField(Author, on_delete=models.PROTECT, primary_key=True)
    bio = models.TextField()
'''


def write_models(text):
    with open(os.path.join(APP, "models.py"), "w") as file:
        file.write(text)


write_models(MODELS)


def database(name=DATABASE, **more):
    return {"ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "PASSWORD": PASSWORD, "NAME": name, **more}


settings.configure(
    DATABASES={"default": database()},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.postgres", "shop"],
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SECRET_KEY="only for checks",
)
django.setup()
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, connections, models, transaction
from django.db.models import Avg, Case, Count, Exists, F, Max, OuterRef, Prefetch, Q, Subquery, Sum, Value, When, Window
from django.db.models.functions import Coalesce, Concat, ExtractYear, Length, Lower, Now, RowNumber, TruncMonth, Upper
from shop.models import Author, Book, Profile, Tag


def run(*arguments, **more):
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=out, **more)
    return out.getvalue()


def library():
    """Two authors and three books, nothing else."""
    for model in (Profile, Book, Tag, Author):
        model.objects.all().delete()
    ann, bob = Author.objects.create(name="Ann", born=date(1980, 1, 1)), Author.objects.create(name="Bob")
    at = datetime(2024, 3, 4, 5, 6, tzinfo=timezone.utc)
    one = Book.objects.create(author=ann, title="One", price=Decimal("10.50"), pages=100, published=at, meta={"k": {"n": 1}}, words=["a", "b"], rating=1.5)
    two = Book.objects.create(author=ann, title="Two", price=Decimal("20"), pages=200, published=at + timedelta(days=40), meta={"k": {"n": 2}})
    three = Book.objects.create(author=bob, title="Three", price=5, pages=50)
    return ann, bob, one, two, three


@checks.check
def connects():
    connection.ensure_connection()
    that(connection.pg_version // 10000 == 15, str(connection.pg_version))
    connection.check_database_version_supported()


@checks.check
def makemigrations_and_migrate():
    with connection.cursor() as c:
        for table in list(connection.introspection.table_names()):
            if table.startswith(("shop_", "django_", "auth_")):
                c.execute(f'DROP TABLE IF EXISTS "{table}" CASCADE')
    run("makemigrations", "shop", verbosity=0)
    run("migrate", verbosity=0)
    that("shop_book" in connection.introspection.table_names(), "shop_book is not there")


@checks.check
def migrate_again_has_nothing_to_do():
    that("No migrations to apply" in run("migrate", no_color=True), "there was something to apply")
    that("[X] 0001_initial" in run("showmigrations", "shop", no_color=True), "not marked as applied")


@checks.check
def system_check_and_no_pending_changes():
    run("check", databases=["default"])
    run("makemigrations", "--check", "--dry-run")


@checks.check
def schema_migration_alters_the_table():
    altered = MODELS.replace('email = models.EmailField(blank=True, default="")', 'email = models.TextField(null=True)\n    rank = models.IntegerField(default=3)').replace(
        'db_index=True', 'db_index=False').replace('name="shop_published"', 'name="shop_published_2"')
    from django.db import migrations

    class Migration(migrations.Migration):
        dependencies = [("shop", "0001_initial")]
        operations = [
            migrations.AddField("author", "rank", models.IntegerField(default=3)),
            migrations.AlterField("author", "email", models.TextField(null=True)),
            migrations.RenameField("author", "born", "birthday"),
            migrations.AlterField("book", "title", models.CharField(max_length=250)),
            migrations.AlterField("book", "pages", models.BigIntegerField(default=0)),
            migrations.RenameIndex("book", new_name="shop_published_2", old_name="shop_published"),
            migrations.RemoveConstraint("book", "shop_price_not_negative"),
            migrations.AddConstraint("book", models.UniqueConstraint(fields=["key"], condition=models.Q(sold_out=False), name="shop_partial")),
            migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField()),
                                            ("book", models.ForeignKey("shop.book", models.SET_NULL, null=True))]),
            migrations.RenameModel("Note", "Remark"),
            migrations.AddField("remark", "number", models.SmallIntegerField(null=True, unique=True)),
            migrations.RemoveField("remark", "number"),
            migrations.RunSQL("UPDATE shop_author SET rank = 4", "SELECT 1"),
            migrations.AlterModelTable("remark", "shop_notes"),
            migrations.DeleteModel("Remark"),
        ]

    that(altered != MODELS, "the models did not change")
    library()
    migration = Migration("0002_alter", "shop")
    from django.db.migrations.loader import MigrationLoader

    state = MigrationLoader(connection).project_state(("shop", "0001_initial"))
    with connection.schema_editor(atomic=True) as editor:
        after = migration.apply(state.clone(), editor)
    with connection.cursor() as c:
        c.execute("SELECT name, rank, birthday FROM shop_author ORDER BY name")
        same(c.fetchall(), [("Ann", 4, date(1980, 1, 1)), ("Bob", 4, None)])
        that("shop_published_2" in connection.introspection.get_constraints(c, "shop_book"), "the index was not renamed")
    same(after.models["shop", "author"].fields["rank"].default, 3)
    with connection.schema_editor(atomic=True) as editor:
        reverse = Migration("0002_alter", "shop")
        reverse.operations = reverse.operations[:8]
        with connection.cursor() as c:
            c.execute("DROP INDEX IF EXISTS shop_partial")
        reverse.operations = [o for o in reverse.operations if not isinstance(o, migrations.AddConstraint)]
        reverse.unapply(state.clone(), editor)


@checks.check
def introspection():
    with connection.cursor() as c:
        i = connection.introspection
        same([f.name for f in i.get_table_description(c, "shop_author")], ["id", "name", "email", "born"])
        same(i.get_relations(c, "shop_book")["author_id"][:2], ("id", "shop_author"))
        constraints = i.get_constraints(c, "shop_book")
        same(constraints["shop_author_title"]["columns"], ["author_id", "title"])
        that(constraints["shop_price_not_negative"]["check"], "no check constraint")
        same((constraints["shop_published"]["columns"], constraints["shop_published"]["index"]), (["published", "price"], True))
        same(i.get_primary_key_column(c, "shop_book"), "id")
        same([s["column"] for s in i.get_sequences(c, "shop_author")], ["id"])


@checks.check
def inspectdb():
    text = run("inspectdb", "shop_author", "shop_book")
    for line in (
        "class ShopAuthor(models.Model):", "name = models.CharField(unique=True, max_length=50)", "author = models.ForeignKey(ShopAuthor, models.DO_NOTHING)",
        "price = models.DecimalField(max_digits=8, decimal_places=2)", "published = models.DateTimeField(blank=True, null=True)",
        "meta = models.JSONField()", "unique_together = (('author', 'title'),)", "db_table_comment = 'who writes'",
    ):
        that(line in text, f"{line!r} is not in {text}")


@checks.check
def create_and_get():
    ann, _, one, _, _ = library()
    seen = Book.objects.get(pk=one.pk)
    same((seen.title, seen.price, seen.meta, seen.words, seen.key, seen.author.name), ("One", Decimal("10.50"), {"k": {"n": 1}}, ["a", "b"], one.key, "Ann"))
    same(seen.published, datetime(2024, 3, 4, 5, 6, tzinfo=timezone.utc))
    with raises(Book.DoesNotExist):
        Book.objects.get(title="None")


@checks.check
def every_field_type():
    ann = library()[0]
    book = Book.objects.create(author=ann, title="T", cover=b"\x00\xff", reading=timedelta(hours=2, microseconds=3), rating=0.1, sold_out=True)
    book = Book.objects.get(pk=book.pk)
    same((bytes(book.cover), book.reading, book.rating, book.sold_out), (b"\x00\xff", timedelta(hours=2, microseconds=3), 0.1, True))


@checks.check
def filters():
    library()
    titles = lambda **f: sorted(Book.objects.filter(**f).values_list("title", flat=True))
    same(titles(price__gt=5), ["One", "Two"])
    same(titles(title__icontains="t"), ["Three", "Two"])
    same(titles(title__istartswith="t"), ["Three", "Two"])
    same(titles(title__regex="^T.*e$"), ["Three"])
    same(titles(title__in=["One", "X"]), ["One"])
    same(titles(published__isnull=True), ["Three"])
    same(titles(published__year=2024, published__month=3), ["One"])
    same(titles(published__date=date(2024, 3, 4)), ["One"])
    same(titles(author__name="Ann", pages__range=(150, 250)), ["Two"])
    same(sorted(Book.objects.exclude(author__name="Ann").values_list("title", flat=True)), ["Three"])
    same(sorted(Book.objects.filter(Q(title="One") | Q(pages__lt=60)).values_list("title", flat=True)), ["One", "Three"])


@checks.check
def json_lookups():
    library()
    same(Book.objects.get(meta__k__n=2).title, "Two")
    same(Book.objects.filter(meta__has_key="k").count(), 2)
    same(Book.objects.filter(meta__contains={"k": {"n": 1}}).count(), 1)
    same(Book.objects.filter(meta__k__n__gt=1).count(), 1)


@checks.check
def array_lookups():
    library()
    same(Book.objects.filter(words__contains=["a"]).count(), 1)
    same(Book.objects.filter(words__overlap=["b", "z"]).count(), 1)
    same(Book.objects.filter(words__len=2).count(), 1)
    same(Book.objects.filter(words__0="a").count(), 1)


@checks.check
def aggregates():
    library()
    same(Book.objects.aggregate(Sum("price"), Avg("pages"), Max("title"), n=Count("id")),
         {"price__sum": Decimal("35.50"), "pages__avg": 350 / 3, "title__max": "Two", "n": 3})
    same(list(Author.objects.annotate(n=Count("books")).order_by("-n").values_list("name", "n")), [("Ann", 2), ("Bob", 1)])
    same(list(Author.objects.values("name").annotate(total=Sum("books__price")).filter(total__gt=10).values_list("name", "total")), [("Ann", Decimal("30.50"))])


@checks.check
def expressions():
    library()
    Book.objects.filter(title="One").update(price=F("price") * 2 + 1, title=Concat(F("title"), Value("!")))
    same(Book.objects.get(title="One!").price, Decimal("22.00"))
    cheap = Case(When(price__lt=10, then=Value("cheap")), default=Value("dear"), output_field=models.CharField())
    same(list(Book.objects.annotate(c=cheap).order_by("price").values_list("c", flat=True)), ["cheap", "dear", "dear"])
    same(list(Book.objects.annotate(l=Length("title"), u=Upper("title"), low=Lower("title")).order_by("l").values_list("u", "l")[:1]), [("TWO", 3)])
    same(list(Book.objects.annotate(y=ExtractYear("published")).filter(y=2024).values_list("y", flat=True)), [2024, 2024])
    months = Book.objects.exclude(published=None).annotate(m=TruncMonth("published")).values("m").annotate(n=Count("id")).order_by("m")
    same([(r["m"].month, r["n"]) for r in months], [(3, 1), (4, 1)])
    that(Book.objects.annotate(now=Now()).first().now is not None, "no now()")
    same(Author.objects.annotate(b=Coalesce("born", Value(date(2000, 1, 1)))).get(name="Bob").b, date(2000, 1, 1))


@checks.check
def subqueries_and_windows():
    library()
    newest = Book.objects.filter(author=OuterRef("pk")).order_by("-pages").values("title")[:1]
    same(list(Author.objects.annotate(t=Subquery(newest)).order_by("name").values_list("t", flat=True)), ["Two", "Three"])
    same(list(Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), price__gt=15))).values_list("name", flat=True)), ["Ann"])
    numbered = Book.objects.annotate(n=Window(RowNumber(), partition_by="author", order_by="title")).order_by("title")
    same([(b.title, b.n) for b in numbered], [("One", 1), ("Three", 1), ("Two", 2)])


@checks.check
def relations():
    ann, bob, one, two, three = library()
    red, blue = Tag.objects.create(slug="red"), Tag.objects.create(slug="blue")
    one.tags.add(red, blue)
    two.tags.set([red])
    same(sorted(t.slug for t in one.tags.all()), ["blue", "red"])
    same(sorted(Book.objects.filter(tags__slug="red").values_list("title", flat=True)), ["One", "Two"])
    one.tags.remove(blue)
    one.tags.clear()
    same(one.tags.count(), 0)
    prefetched = Author.objects.prefetch_related(Prefetch("books", queryset=Book.objects.order_by("title"))).order_by("name")
    same([[b.title for b in a.books.all()] for a in prefetched], [["One", "Two"], ["Three"]])
    same([b.author.name for b in Book.objects.select_related("author").order_by("title")], ["Ann", "Bob", "Ann"])
    Profile.objects.create(author=ann, bio="x")
    same(ann.profile.bio, "x")
    with raises(models.ProtectedError):
        ann.delete()


@checks.check
def deletes_cascade():
    ann, *_ = library()
    ann.delete()
    same(Book.objects.count(), 1)


@checks.check
def bulk_operations():
    ann, *_ = library()
    made = Book.objects.bulk_create([Book(author=ann, title=f"b{i}", pages=i) for i in range(300)])
    that(all(b.pk for b in made), "keys are missing")
    for b in made:
        b.pages += 1000
    same(Book.objects.bulk_update(made, ["pages"], batch_size=100), 300)
    same(Book.objects.filter(pages__gte=1000).count(), 300)
    Book.objects.bulk_create([Book(author=ann, title="b1")], ignore_conflicts=True)
    Author.objects.bulk_create([Author(name="Ann", email="a@b")], update_conflicts=True, unique_fields=["name"], update_fields=["email"])
    same(Author.objects.get(name="Ann").email, "a@b")
    same(Book.objects.filter(title__startswith="b").delete()[0], 300)


@checks.check
def get_or_create_and_update_or_create():
    library()
    same(Author.objects.get_or_create(name="Cid")[1], True)
    same(Author.objects.get_or_create(name="Cid")[1], False)
    same(Author.objects.update_or_create(name="Cid", defaults={"email": "c"})[0].email, "c")


@checks.check
def integrity_errors():
    ann, *_ = library()
    with raises(IntegrityError) as seen:
        Author.objects.create(name="Ann")
    same((seen.error.__cause__.sqlstate, seen.error.__cause__.diag.table_name), ("23505", "shop_author"))
    with raises(IntegrityError) as seen:
        Book.objects.create(author=ann, title="x", price=-1)
    same(seen.error.__cause__.diag.constraint_name, "shop_price_not_negative")


@checks.check
def foreign_keys_are_checked_at_commit():
    library()
    with raises(IntegrityError):
        with transaction.atomic():
            Book.objects.create(author_id=999999, title="x")


@checks.check
def atomic_blocks_nest():
    library()
    with transaction.atomic():
        Author.objects.create(name="in")
        with raises(IntegrityError):
            with transaction.atomic():
                Author.objects.create(name="lost")
                Author.objects.create(name="Ann")
        Author.objects.create(name="kept")
    same(sorted(Author.objects.values_list("name", flat=True)), ["Ann", "Bob", "in", "kept"])


@checks.check
def rollback_and_on_commit():
    library()
    ran = []
    with raises(ValueError):
        with transaction.atomic():
            transaction.on_commit(lambda: ran.append(1))
            Author.objects.create(name="no")
            raise ValueError
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append(2))
    same((ran, Author.objects.count()), ([2], 2))


@checks.check
def select_for_update():
    library()
    with transaction.atomic():
        same(Book.objects.select_for_update().get(title="One").pages, 100)
        same(len(Book.objects.select_for_update(skip_locked=True, of=("self",)).filter(pages__gt=60)), 2)


@checks.check
def iterator_uses_a_server_side_cursor():
    library()
    same(sum(b.pages for b in Book.objects.order_by("id").iterator(chunk_size=2)), 350)


@checks.check
def pages_of_results():
    from django.core.paginator import Paginator

    library()
    p = Paginator(Book.objects.order_by("title"), 2)
    same((p.count, [b.title for b in p.page(2)]), (3, ["Two"]))


@checks.check
def set_operations_and_distinct():
    library()
    a, b = Book.objects.filter(pages__gt=60).values_list("title"), Book.objects.filter(price__lt=15).values_list("title")
    same(sorted(a.union(b)), [("One",), ("Three",), ("Two",)])
    same(list(a.intersection(b)), [("One",)])
    same(list(a.difference(b)), [("Two",)])
    same(list(Book.objects.order_by("author__name", "-title").distinct("author__name").values_list("title", flat=True)), ["Two", "Three"])


@checks.check
def raw_sql():
    library()
    same([b.title for b in Book.objects.raw("SELECT * FROM shop_book WHERE pages > %s ORDER BY id", [60])], ["One", "Two"])
    with connection.cursor() as c:
        c.execute("SELECT count(*), %s FROM shop_book", ["x%"])
        same(c.fetchone(), (3, "x%"))
        c.executemany("UPDATE shop_book SET pages = %s WHERE title = %s", [(1, "One"), (2, "Two")])
    same(Book.objects.aggregate(s=Sum("pages"))["s"], 53)


@checks.check
def auth_users():
    from django.contrib.auth.models import Group, Permission, User

    User.objects.filter(username="u").delete()
    user = User.objects.create_user("u", password="p")
    group, _ = Group.objects.get_or_create(name="g")
    user.groups.add(group)
    group.permissions.add(*Permission.objects.filter(content_type__app_label="shop", codename="add_book"))
    that(User.objects.get(username="u").has_perm("shop.add_book"), "no permission")
    that(user.check_password("p"), "wrong password")


@checks.check
def sessions():
    from django.contrib.sessions.backends.db import SessionStore

    s = SessionStore()
    s["k"] = "v"
    s.save()
    same(SessionStore(session_key=s.session_key)["k"], "v")


@checks.check
def postgres_aggregates_and_search():
    from django.contrib.postgres.aggregates import ArrayAgg, BoolOr, StringAgg

    library()
    same(Book.objects.aggregate(a=ArrayAgg("title", ordering="title"), s=StringAgg("title", ",", ordering="title"), b=BoolOr("sold_out")),
         {"a": ["One", "Three", "Two"], "s": "One,Three,Two", "b": False})


@checks.check
def explain():
    library()
    that(len(Book.objects.filter(pages__gt=1).explain()) > 0, "nothing was explained")


@checks.check
def flush_and_sqlsequencereset():
    library()
    run("flush", interactive=False, verbosity=0)
    same(Author.objects.count(), 0)
    same(Author.objects.create(name="first").pk, 1)
    that("setval" in run("sqlsequencereset", "shop"), "no setval")
    with connection.cursor() as c:
        for statement in run("sqlsequencereset", "shop", no_color=True).split("\n"):
            if statement.startswith("SELECT"):
                c.execute(statement)


@checks.check
def dumpdata_and_loaddata():
    library()
    path = os.path.join(FOLDER, "dump.json")
    call_command("dumpdata", "shop", output=path)
    for model in (Book, Author):
        model.objects.all().delete()
    run("loaddata", path, verbosity=0)
    same(sorted(Book.objects.values_list("title", flat=True)), ["One", "Three", "Two"])


def past():
    ann, bob, one, two, three = library()
    at = past_instant()
    Author.objects.filter(name="Ann").update(name="Anna")
    two.delete()
    one.title = "First"
    one.save()
    return at


def graph():
    ann = Author.objects.order_by("id").first()
    return ann.name, [b.title for b in ann.books.order_by("id")]


@checks.travel
def travels_with_a_lazy_graph_in_one_transaction():
    at = past()
    with transaction.atomic():
        with connection.cursor() as c:
            c.execute("SET LOCAL chronogate.as_of = %s", [at])
        same(graph(), ("Ann", ["One", "Two"]))
    same(graph(), ("Anna", ["First"]))


@checks.travel
def travels_by_database_name_and_by_options():
    at = past()
    for alias, more in (("by_name", database(f"{DATABASE}@{at}")), ("by_options", database(OPTIONS={"options": f"-c chronogate.as_of={at}"}))):
        connections.settings[alias] = connections.configure_settings({"default": database(), alias: more})[alias]
        ann = Author.objects.using(alias).order_by("id").first()
        same((ann.name, [b.title for b in ann.books.order_by("id")]), ("Ann", ["One", "Two"]))
        with raises(DatabaseError):
            ann.save()
        connections[alias].close()


try:
    checks.main()
finally:
    shutil.rmtree(FOLDER)
