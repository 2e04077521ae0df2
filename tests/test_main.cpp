// doctest's implementation and main() for every test binary. Nothing else belongs here: a fixture that many tests
// need goes to tests/support/. SIGPIPE keeps its default on purpose: a write that forgot MSG_NOSIGNAL must be seen.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
