"""Tortoise ORM over asyncpg."""

import asyncio
import os
import sys
import types
from decimal import Decimal
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same
from tortoise import Tortoise, fields, models
from tortoise.exceptions import IntegrityError, TransactionManagementError
from tortoise.expressions import F, Q
from tortoise.functions import Count, Sum
from tortoise.transactions import in_transaction

checks = Checks("tortoise")


class Owner(models.Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(50, unique=True)
    data = fields.JSONField(null=True)
    created = fields.DatetimeField(auto_now_add=True)
    price = fields.DecimalField(10, 2, null=True)

    class Meta:
        table = "to_owner"


class Post(models.Model):
    id = fields.UUIDField(primary_key=True)
    owner = fields.ForeignKeyField("models.Owner", related_name="posts")
    tags = fields.ManyToManyField("models.Tag", related_name="posts", through="to_post_tag")
    title = fields.TextField()
    views = fields.BigIntField(default=0)

    class Meta:
        table = "to_post"


class Tag(models.Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(20)

    class Meta:
        table = "to_tag"


module = types.ModuleType("to_models")
for model in (Owner, Post, Tag):
    model.__module__ = "to_models"
    setattr(module, model.__name__, model)
sys.modules["to_models"] = module


async def start(database=DATABASE):
    await Tortoise.init(db_url=f"asyncpg://{USER}:{quote(PASSWORD)}@{HOST}:{PORT}/{database}", modules={"models": ["to_models"]})


def inside(work):
    """Runs the check with tables made and filled."""

    async def go():
        await start()
        try:
            await Tortoise.generate_schemas()
            for model in (Post, Tag, Owner):
                await model.all().delete()
            owner = await Owner.create(name="x", data={"a": [1]}, price="1.50")
            post = await Post.create(owner=owner, title="t", views=3)
            await post.tags.add(await Tag.create(name="one"), await Tag.create(name="two"))
            await work()
        finally:
            await Tortoise.close_connections()

    def check():
        asyncio.run(go())

    check.__name__ = work.__name__
    return check


@checks.check
@inside
async def makes_the_schema_twice():
    await Tortoise.generate_schemas(safe=True)
    same(await Owner.all().count(), 1)


@checks.check
@inside
async def follows_relations():
    owner = (await Owner.filter(posts__title="t").prefetch_related("posts__tags"))[0]
    same([sorted(t.name for t in p.tags) for p in owner.posts], [["one", "two"]])
    same((owner.data, owner.price), ({"a": [1]}, Decimal("1.50")))


@checks.check
@inside
async def aggregates():
    rows = await Owner.annotate(n=Count("posts"), v=Sum("posts__views")).values("name", "n", "v")
    same(rows, [{"name": "x", "n": 1, "v": 3}])


@checks.check
@inside
async def updates_with_expressions():
    same(await Post.filter(Q(title="t") | Q(views__gt=100)).update(views=F("views") + 1), 1)
    same((await Post.get(title="t")).views, 4)


@checks.check
@inside
async def writes_in_bulk():
    await Owner.bulk_create([Owner(name=f"n{i}") for i in range(50)], ignore_conflicts=True)
    same(await Owner.filter(name__startswith="n").count(), 50)
    owner, made = await Owner.get_or_create(name="n1")
    same((made, owner.name), (False, "n1"))


@checks.check
@inside
async def transactions():
    with raises(IntegrityError):
        async with in_transaction():
            await Owner.create(name="y")
            await Owner.create(name="x")
    same(await Owner.all().count(), 1)
    async with in_transaction() as connection:
        owner = await Owner.select_for_update().using_db(connection).get(name="x")
        owner.price = Decimal("2.50")
        await owner.save(using_db=connection)
    same((await Owner.get(name="x")).price, Decimal("2.50"))


@checks.travel
@inside
async def travels():
    at = past_instant()
    await Post.all().delete()
    same(await Post.all().count(), 0)
    await Tortoise.close_connections()
    await start(f"{DATABASE}@{at}")
    owner = (await Owner.all().prefetch_related("posts"))[0]
    same([p.title for p in owner.posts], ["t"])
    with raises(TransactionManagementError):
        await Post.all().delete()


checks.main()
