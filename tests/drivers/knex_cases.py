"""Knex over node pg: node/knex.js."""

from node_cases import cases_of, install


def ready(_):
    install(_)


CASES = [ready] + cases_of("knex.js")
