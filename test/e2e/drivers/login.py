"""Signs in with the driver argv[1] and the settings in argv[2] (JSON), asks who it is, and prints the answer or the error."""
import json
import ssl
import sys

driver, settings = sys.argv[1], json.loads(sys.argv[2])
QUESTION = "select current_setting('portcullis.user')"


def context():
    made = ssl.create_default_context(cafile=settings["ca"])
    if "cert" in settings:
        made.load_cert_chain(settings["cert"], settings["key"])
    return made


def with_libpq(connect):
    names = {"ca": "sslrootcert", "cert": "sslcert", "key": "sslkey", "database": "dbname"}
    given = {names.get(name, name): value for name, value in settings.items() if name != "tls"}
    connection = connect(sslmode="verify-full" if settings["tls"] else "disable", **given)
    cursor = connection.cursor()
    cursor.execute(QUESTION)
    return cursor.fetchone()[0]


async def with_asyncpg():
    import asyncpg

    given = {name: settings[name] for name in ("host", "port", "user", "password", "database") if name in settings}
    connection = await asyncpg.connect(ssl=context() if settings["tls"] else False, **given)
    return await connection.fetchval(QUESTION)


try:
    if driver == "asyncpg":
        import asyncio

        print(asyncio.run(with_asyncpg()))
    elif driver == "psycopg":
        import psycopg

        print(with_libpq(psycopg.connect))
    else:
        import psycopg2

        print(with_libpq(psycopg2.connect))
except Exception as error:
    print(error)
    sys.exit(1)
