"""Connects with the real libpq 18 (argv[1]) to argv[2]; its OAuth hook hands out the token in $TOKEN. Prints what it saw."""
import ctypes
import os
import sys


class Request(ctypes.Structure):
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("run_async", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


pq = ctypes.CDLL(sys.argv[1])
pq.PQconnectdb.restype = ctypes.c_void_p
pq.PQerrorMessage.restype = ctypes.c_char_p
pq.PQerrorMessage.argtypes = pq.PQstatus.argtypes = pq.PQfinish.argtypes = [ctypes.c_void_p]
TOKEN = os.environ["TOKEN"].encode()


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
def hook(kind, connection, request):
    if kind != 1:  # PQAUTHDATA_OAUTH_BEARER_TOKEN
        return 0
    print("asked", request[0].openid_configuration.decode(), request[0].scope.decode(), flush=True)
    request[0].token = TOKEN
    return 1


pq.PQsetAuthDataHook(hook)
connection = pq.PQconnectdb(sys.argv[2].encode())
print("ok" if pq.PQstatus(connection) == 0 else pq.PQerrorMessage(connection).decode().strip())
pq.PQfinish(connection)
