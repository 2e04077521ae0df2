// Prepared statements shared between clients: one object per distinct text, parameter types and
// planner-relevant settings (P27), with the name under which servers know it; and the set that one
// server connection has, bounded in bytes (P26). Single-threaded: one store per worker.
#pragma once

#include "proxy/session/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgsteady {

struct statement_effects;
using effects_ptr = std::shared_ptr<const statement_effects>;

/// A statement as Parse described it, shared by every client that prepared the same; or one under a client's own name.
struct prepared_statement {
    std::string server_name;  ///< unique among all workers: "pgsteady_<worker>_<number>"
    std::string parse_tail;   ///< body of Parse behind the name: text, NUL, parameter types
    bool shared = true;       ///< false: under the client's own name, which no other client's server may have
    bool by_sql = false;      ///< the text is a PREPARE statement (D14)
    settings_ptr made_under;  ///< by_sql: what the client had chosen when it was executed
    effects_ptr effects;      ///< what executing it does to the session; null: nothing
    bool commits = false;     ///< COMMIT or END
    bool writes = false;      ///< INSERT, UPDATE, DELETE or MERGE, and no effects

    /// What executing it executes; empty if that is not known.
    [[nodiscard]] std::string_view text() const { return by_sql ? std::string_view() : parse_tail.c_str(); }
    [[nodiscard]] std::size_t bytes() const { return server_name.size() + parse_tail.size() + 128; }
};

using statement_ptr = std::shared_ptr<const prepared_statement>;

class statement_store {
public:
    explicit statement_store(unsigned worker) : worker_(worker) {}

    /// The statement with this Parse body under these settings; created on first sight.
    [[nodiscard]] statement_ptr intern(std::string_view planner_key, std::string_view parse_tail,
                                       const effects_ptr& effects);

    /// The next Parse of the same makes a new one: this one's plan no longer fits the schema (P29).
    void retire(const statement_ptr& statement);

    [[nodiscard]] std::size_t size() const { return known_.size(); }

private:
    unsigned worker_;
    std::uint64_t next_ = 1;
    std::size_t sweep_at_ = 256;
    std::unordered_map<std::string, std::weak_ptr<const prepared_statement>> known_;
};

/// The statements that one server connection has, least recently used first out.
class server_statements {
public:
    [[nodiscard]] bool has(const statement_ptr& statement) const { return known_.contains(statement.get()); }
    /// It is used now. False: the server does not have it.
    bool touch(const prepared_statement& statement);
    void add(const statement_ptr& statement);
    void remove(const statement_ptr& statement);
    void clear();

    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] std::size_t size() const { return known_.size(); }

    /// Removes and returns those that have a client's own name.
    [[nodiscard]] std::vector<statement_ptr> take_own();
    /// Removes and returns the least recently used ones until at most `limit` bytes remain.
    [[nodiscard]] std::vector<statement_ptr> evict(std::size_t limit);

private:
    struct entry {
        statement_ptr statement;
        std::uint64_t used;
    };
    std::unordered_map<const prepared_statement*, entry> known_;
    std::size_t bytes_ = 0;
    std::uint64_t clock_ = 0;
};

}  // namespace pgsteady
