// The ledger: which settings a client has chosen, as an immutable value that sessions and server
// connections share by pointer. Equal values are one object (interned), so "does this server
// already have this client's settings?" is one comparison, and a snapshot is a copied pointer.
// Transactional by construction: rolling back is putting the old pointer back (P36).
// One table per worker; not thread-safe. Values never hold passwords.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgsteady {

class settings_table;

/// An ordered set of (name, value) pairs; names in lower case, values as set_config() takes them.
class settings {
public:
    using pair = std::pair<std::string, std::string>;

    [[nodiscard]] const std::vector<pair>& entries() const { return entries_; }
    [[nodiscard]] const std::string* find(std::string_view name) const;

    /// The part that changes what a statement means when it is planned (P27): search_path, role, …
    [[nodiscard]] const std::string& planner_key() const { return planner_key_; }

private:
    friend class settings_table;
    explicit settings(std::vector<pair> sorted);

    std::vector<pair> entries_;
    std::string planner_key_;
};

using settings_ptr = std::shared_ptr<const settings>;

/// Interns settings. Values nobody holds any more are forgotten by sweep().
class settings_table {
public:
    settings_table();

    /// No settings at all: what a fresh server session has.
    [[nodiscard]] const settings_ptr& none() const { return none_; }

    /// The value with these pairs; the last of equal names wins; names are folded to lower case.
    [[nodiscard]] settings_ptr of(std::vector<settings::pair> pairs);

    /// `from` with `name` set to `value`, or removed if there is none.
    [[nodiscard]] settings_ptr with(const settings_ptr& from, std::string_view name, std::optional<std::string> value);

    [[nodiscard]] std::size_t size() const { return known_.size(); }

private:
    void sweep();
    settings_ptr intern(std::vector<settings::pair> sorted);

    std::unordered_map<std::string, std::weak_ptr<const settings>> known_;
    std::size_t sweep_at_ = 64;
    settings_ptr none_;  // after known_: made from it
};

/// A savepoint, and what a session and its server had there.
struct setting_mark {
    std::string name;
    bool savepoint = true;  ///< for follow_savepoint()
    settings_ptr desired;
    settings_ptr applied;
};

/// One setting that a server lacks, or (no value) must give up.
struct setting_difference {
    std::string name;
    std::optional<std::string> value;
};

/// What turns `from` into `to`, in the order in which it must be applied: role and session_authorization are given
/// up first and taken on last, since they may take away the right to set the rest. Empty if the two are equal.
[[nodiscard]] std::vector<setting_difference> differences(const settings& from, const settings& to);

/// One SQL string that applies the differences: set_config() calls and RESETs. Values are ASCII or UTF-8; the string is
/// ASCII, since the server reads it under whatever client_encoding the client before has left.
[[nodiscard]] std::string restore_sql(const std::vector<setting_difference>& changes);

/// `text` as an SQL string literal that is the same under either standard_conforming_strings.
[[nodiscard]] std::string quote_literal(std::string_view text);
/// `text` as a quoted identifier.
[[nodiscard]] std::string quote_identifier(std::string_view text);

[[nodiscard]] bool is_ascii(std::string_view text);
/// Whether this value of client_encoding means UTF-8, in any of PostgreSQL's spellings.
[[nodiscard]] bool is_utf8_encoding(std::string_view encoding);
/// Whether a byte of its multibyte characters may look like a backslash (SJIS, BIG5, GBK and their kin).
[[nodiscard]] bool hides_backslash(std::string_view encoding);

/// Names of settings compare without case.
[[nodiscard]] std::string lower_case(std::string_view text);

}  // namespace pgsteady
