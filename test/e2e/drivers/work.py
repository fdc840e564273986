"""Does with the driver argv[1] what applications do with it, with the settings in argv[2] (JSON), and prints what came of each step."""
import asyncio
import datetime
import decimal
import io
import json
import logging
import sys
import uuid

driver, settings = sys.argv[1], json.loads(sys.argv[2])
# Whether psycopg notices at the end of a pipeline that it has failed, and says so, is a matter of time.
logging.disable()
VALUES = [
    7, None, "wide é 漢 '\\", b"\x00\xff", decimal.Decimal("12345678901234567890.123"), 1.5, True,
    datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc), datetime.date(2024, 2, 29),
    datetime.timedelta(days=3, seconds=7), uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), [1, 2, 3],
]
TYPES = ["int", "int", "text", "bytea", "numeric", "float8", "bool", "timestamptz", "date", "interval", "uuid", "int[]"]


def say(step, value):
    print(step, value, sep=": ")


def failure(error):
    diag = getattr(error, "diag", error)
    words = getattr(diag, "message_primary", None) or getattr(error, "message", None) or str(error)
    return (type(error).__name__, getattr(error, "sqlstate", None), words)


def psycopg3():
    import psycopg

    given = {"database": "dbname"}
    connection = psycopg.connect(**{given.get(name, name): value for name, value in settings.items()})
    connection.autocommit = True
    run = connection.execute
    run("create table if not exists work (id int primary key, word text)")
    run("truncate work")
    for binary in (False, True):
        for value, kind in zip(VALUES, TYPES):
            cursor = connection.cursor(binary=binary)
            say(f"{kind} {binary}", cursor.execute(f"select %s::{kind} as v", (value,)).fetchall())
    for times in range(7):
        # Prepared on the server from the sixth time on.
        say("again", run("select %s::int + 1", (times,)).fetchone())
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("insert into work values (%s, %s) returning id", (n, f"w{n}")) for n in range(50)]
        pipeline.sync()
        say("pipeline", [cursor.fetchone()[0] for cursor in cursors])
    try:
        with connection.pipeline() as pipeline:
            first = connection.execute("insert into work values (100, 'x')")
            second = connection.execute("insert into work values (1, 'twice')")
            third = connection.execute("select 1 / 0")
            pipeline.sync()
            first.fetchall()
    except psycopg.Error as error:
        say("error in a pipeline", failure(error))
    say("rolled back", run("select count(*) from work where id = 100").fetchone())
    with connection.pipeline() as pipeline:
        one = connection.execute("select 1")
        try:
            bad = connection.execute("select * from nowhere")
            pipeline.sync()
        except psycopg.Error as error:
            say("error, then on", failure(error))
        two = connection.execute("select 2")
        pipeline.sync()
        say("after it", two.fetchone())
    try:
        with connection.transaction():
            run("delete from work where id < 10")
            with connection.transaction(force_rollback=True):
                run("delete from work")
            say("inner rolled back", run("select count(*) from work").fetchone())
            raise psycopg.Rollback()
    except psycopg.Rollback:
        pass
    say("outer rolled back", run("select count(*) from work").fetchone())
    with connection.transaction():
        with connection.cursor(name="server side") as cursor:
            cursor.itersize = 7
            say("server cursor", sum(row[0] for row in cursor.execute("select id from work order by id")))
            cursor.scroll(-10)
            say("scrolled", cursor.fetchmany(3))
    with connection.cursor().copy("copy work from stdin") as copy:
        for n in range(1000, 3000):
            copy.write_row((n, "tab\tnew\nline" if n % 2 else None))
    out = io.BytesIO()
    with connection.cursor().copy("copy (select * from work where id >= 1000 order by id) to stdout (format binary)") as copy:
        for part in copy:
            out.write(part)
    say("copied", (len(out.getvalue()), hash_of(out.getvalue())))
    try:
        with connection.cursor().copy("copy work from stdin") as copy:
            copy.write("1\tx\n")
    except psycopg.Error as error:
        say("copy that fails", failure(error))
    try:
        with connection.cursor().copy("copy work from stdin") as copy:
            copy.write("5000\tx\n")
            raise ValueError("given up")
    except psycopg.Error as error:
        say("copy given up", (failure(error), run("select count(*) from work where id = 5000").fetchone()))
    heard = []
    connection.add_notify_handler(lambda notice: heard.append(notice.payload))
    run("listen work")
    run("notify work, 'hello'")
    say("notified", heard)
    cursor = connection.execute("select 1; select 2; select 3")
    sets = [cursor.fetchone()]
    while cursor.nextset():
        sets.append(cursor.fetchone())
    say("several", sets)
    cursor = connection.cursor()
    cursor.executemany("update work set word = %s where id = %s", [(f"u{n}", n) for n in range(50)])
    say("many", cursor.rowcount)
    connection.close()


def hash_of(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


async def with_asyncpg():
    import asyncpg

    connection = await asyncpg.connect(ssl=False, **{k: v for k, v in settings.items() if k != "sslmode"})
    await connection.execute("create table if not exists work (id int primary key, word text); truncate work")
    for value, kind in zip(VALUES, TYPES):
        say(kind, await connection.fetchval(f"select $1::{kind}", value))
    statement = await connection.prepare("insert into work values ($1, $2) returning id")
    say("prepared", [await statement.fetchval(n, f"w{n}") for n in range(50)])
    say("attributes", [(a.name, a.type.name) for a in statement.get_attributes()])
    try:
        await connection.executemany("insert into work values ($1, $2)", [(100, "a"), (1, "b"), (101, "c")])
    except asyncpg.PostgresError as error:
        say("many that fail", failure(error))
    say("rolled back", await connection.fetchval("select count(*) from work where id >= 100"))
    await connection.executemany("insert into work values ($1, $2)", [(n, None) for n in range(200, 400)])
    async with connection.transaction(isolation="repeatable_read"):
        async with connection.transaction():
            cursor = await connection.cursor("select id from work order by id")
            say("cursor", [[row["id"] for row in await cursor.fetch(3)], await cursor.forward(10), await cursor.fetchrow()])
        ids = [row["id"] async for row in connection.cursor("select id from work order by id", prefetch=20)]
        say("iterated", len(ids))
    rows = [(n, "tab\tline\n") for n in range(1000, 3000)]
    say("copy in", await connection.copy_records_to_table("work", records=rows))
    out = io.BytesIO()
    say("copy out", await connection.copy_from_query("select * from work order by id", output=out, format="binary"))
    say("copied", (len(out.getvalue()), hash_of(out.getvalue())))
    try:
        await connection.copy_records_to_table("work", records=[(1, "twice")])
    except asyncpg.PostgresError as error:
        say("copy that fails", failure(error))
    heard = asyncio.get_running_loop().create_future()
    await connection.add_listener("work", lambda *args: heard.done() or heard.set_result(args[3]))
    await connection.execute("notify work, 'hello'")
    say("notified", await heard)
    try:
        await connection.fetch("select pg_sleep(60)", timeout=0.2)
    except asyncio.TimeoutError:
        say("cancelled", await connection.fetchval("select 1"))
    try:
        await connection.fetch("select 1 / $1::int", 0)
    except asyncpg.PostgresError as error:
        say("error", failure(error))
    say("several", await connection.execute("select 1; update work set word = 'x' where id < 5"))
    await connection.reset()
    await connection.close()


if driver == "asyncpg":
    asyncio.run(with_asyncpg())
else:
    psycopg3()
