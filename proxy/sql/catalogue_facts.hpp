// What the catalogue of one database has said about functions, operators, relations and the like, remembered for a while,
// so that a proof asks only for what nobody knows yet (D20). Facts are kept one by one, not per text: texts differ more
// than what they name. What could make an answer wrong ends it: age, a change of the schema, another host; and what is
// missing is never remembered, since it may be created. Bounded in bytes.
// Pure: time and the schema's version are arguments. One per pool and worker; not thread-safe.
#pragma once

#include "proxy/sql/statement_class.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgsteady {

class catalogue_facts {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// What an answer speaks of. `unnamed`: what any SELECT may run without naming it; it has no name.
    enum class part : std::uint8_t { function, operator_, relation, harmless, attribute, unnamed };
    /// One row of an answer: the verdict or kind, and a definition.
    using row = std::pair<std::string, std::optional<std::string>>;

    /// `max_bytes` bounds names, rows and bookkeeping together; it, or the age, 0: nothing is remembered.
    void set_limits(std::size_t max_bytes, std::chrono::milliseconds max_age);
    /// Now, as far as ages are concerned; exact enough if the owner says so from time to time.
    void set_time(time_point now) { now_ = now; }
    /// A number that grows with every change of the schema that is seen. Another one: everything is forgotten.
    void set_version(std::uint64_t version);
    [[nodiscard]] std::uint64_t version() const { return version_; }
    void forget();

    /// What is known on this host; null: nothing. Valid until something is learned or forgotten.
    [[nodiscard]] const std::vector<row>* find(part of, std::size_t host, const sql_name& name) const;
    /// Names and rows must be ASCII: only so do they mean the same in every encoding.
    void learn(part of, std::size_t host, const sql_name& name, std::vector<row> rows);

    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] std::size_t size() const { return known_.size(); }

private:
    struct entry {
        std::vector<row> rows;
        time_point since{};
        std::size_t cost = 0;
    };
    static std::string key_of(part of, std::size_t host, const sql_name& name);

    std::size_t max_bytes_ = 0;
    std::chrono::milliseconds max_age_{0};
    time_point now_{};
    std::uint64_t version_ = 0;
    std::size_t bytes_ = 0;
    std::unordered_map<std::string, entry> known_;
};

}  // namespace pgsteady
