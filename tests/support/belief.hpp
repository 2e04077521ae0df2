// What an application must believe about its rows, from nothing but the answers it was given, and whether that is true
// (recovery.md I1 to I4). Knows messages and outcomes, not how they came about. For tests.
#pragma once

#include "tests/support/wire_builders.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::testing {

/// One request of an application: bytes that one ReadyForQuery answers.
struct app_request {
    std::string bytes;
    std::vector<std::string> rows;  ///< what it inserts; each row of a conversation is another
    bool reads = false;             ///< shown to read only, and small enough to be held: repeated, never failed
    bool chains = false;            ///< ends one transaction and begins the next
};

/// What one request was answered with, up to its ReadyForQuery.
struct app_reply {
    std::vector<frame> frames;
    char status = 0;  ///< 0: the connection ended first

    [[nodiscard]] const frame* error() const;
    [[nodiscard]] std::string sqlstate() const;  ///< empty: no error
    /// The word behind "outcome=" in the error's DETAIL; empty if there is none.
    [[nodiscard]] std::string outcome() const;
    [[nodiscard]] bool has_tag(std::string_view tag) const;
    /// Without what comes when it comes.
    [[nodiscard]] std::string text() const;
};

[[nodiscard]] std::vector<app_reply> split_replies(const std::string& stream);

class application {
public:
    enum class belief { present, absent, unknown };
    /// Rows that stand or fall together.
    struct group {
        std::vector<std::string> rows;
        belief what;
    };

    void hear(const app_request& asked, const app_reply& got);
    /// The connection is gone with a transaction open and nothing asked.
    void end();
    /// A new connection.
    void restart() { status_ = 'I', open_.clear(); }

    std::vector<group> groups;

private:
    void believe(const std::vector<std::string>& rows, belief what);

    char status_ = 'I';
    std::vector<std::string> open_;  // inserted by the open transaction
};

/// I1 to I4: what was acknowledged is lost, something was done twice or half, a word about an outcome is untrue. Empty: all
/// is well.
[[nodiscard]] std::vector<std::string> untruths(const application& app, const std::vector<std::string>& log);

}  // namespace pgsteady::testing
