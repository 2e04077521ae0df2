"""A fresh client's look around: everything that a previous client of a shared server could have left behind."""

from . import messages as msg
from .wire_client import WireClient

SECONDS = 8.0

LOOKS = {
    "settings": "select name || ' = ' || setting from pg_settings where context in ('user', 'superuser') "
                "and name not like 'plpgsql.%' order by 1",       # those exist once somebody has used PL/pgSQL
    "roles": "select current_user, session_user",
    "schemas": "select current_schemas(false)",
    "temporary objects": "select relname from pg_class where relpersistence = 't' "
                         "and relnamespace = pg_my_temp_schema()",
    "advisory locks": "select mode, objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
    "cursors": "select name from pg_cursors",
    "channels": "select pg_listening_channels()",
    "transaction": "select pg_current_xact_id_if_assigned()",
}

# What the proxy itself sets in its servers (proxy/session/own_settings.hpp), so nobody's trace; a client's RESET ALL undoes
# them until they are set again (tests/system, fence.settings_of_ours_outlive_a_reset).
OWN_SETTINGS = {"client_connection_check_interval", "tcp_keepalives_count", "tcp_keepalives_idle",
                "tcp_keepalives_interval", "synchronize_seqscans"}


def look(target):
    """{what: [rows as text]}"""
    with WireClient(target.address, SECONDS) as client:
        client.login(target.user, target.database, target.password)
        seen = {}
        for what, sql in LOOKS.items():
            result = client.query(sql)
            seen[what] = [str(result.error)] if result.error else [" ".join(map(str, row)) for row in result.rows]
        for name in ("", "s1", "s2"):
            seen[f"statement {name!r}"] = [_bind_error(client, name)]
        seen["parameter status"] = sorted(f"{key}={value}" for key, value in client.parameters.items())
        client.close()
        return seen


def _bind_error(client, name):
    client.send(msg.bind("", name) + msg.sync())
    frames = client.read_until("Z")
    return next((msg.error_fields(frame.body)["C"] for frame in frames if frame.type == "E"), "it exists")


def without_own_settings(seen):
    kept = [row for row in seen["settings"] if row.partition(" = ")[0] not in OWN_SETTINGS]
    return {**seen, "settings": kept}


def differences(clean, found):
    lines = []
    for what, rows in clean.items():
        lines += [f"{what}: missing {row}" for row in rows if row not in found[what]]
        lines += [f"{what}: extra {row}" for row in found[what] if row not in rows]
    return lines
