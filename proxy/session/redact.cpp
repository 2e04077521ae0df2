// See redact.hpp.
#include "proxy/session/redact.hpp"

#include "proxy/session/settings.hpp"

namespace pgsteady {

namespace {

bool speaks_of_secrets(std::string_view sql) {
    const std::string folded = lower_case(sql);
    for (const std::string_view word : {"password", "scram-sha-256", "user mapping", "md5", "secret", "credential"})
        if (folded.find(word) != std::string::npos) return true;
    return false;
}

}  // namespace

std::string redacted(std::string_view sql, std::size_t limit) {
    const bool hide = speaks_of_secrets(sql);
    std::string out;
    for (std::size_t at = 0; at < sql.size() && out.size() < limit; ++at) {
        if (!hide || (sql[at] != '\'' && sql[at] != '$')) {
            out += sql[at];
            continue;
        }
        // From the first literal on nothing is shown: where it ends may depend on the server's settings.
        return out + "***";
    }
    if (out.size() < sql.size()) out += "...";
    return out;
}

}  // namespace pgsteady
