// See build_facts.hpp. The only file that is compiled again with every commit.
#include "proxy/build_facts.hpp"

#include <openssl/crypto.h>
#include <pg_query.h>

#include <revision.hpp>

namespace pgsteady {
namespace {

#ifdef __clang__
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "gcc " __VERSION__;
#endif

}  // namespace

const admin::build_status& build_facts() {
    static const admin::build_status facts{PGSTEADY_REVISION, compiler, OpenSSL_version(OPENSSL_VERSION_STRING),
                                           PG_VERSION};
    return facts;
}

}  // namespace pgsteady
