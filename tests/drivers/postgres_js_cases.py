"""postgres.js, a driver of its own: node/postgres_js.js."""

from node_cases import cases_of, install


def ready(_):
    install(_)


CASES = [ready] + cases_of("postgres_js.js")
