// What a client has SET LOCAL of pgsteady's own settings in its open transaction, with its savepoints: ROLLBACK TO takes
// back what came behind them, and the transaction's end takes everything. Kept here, since a server that dies takes the
// values with it just when they are needed. Read after a failure only. Pure and bounded; it must never outlive its
// transaction. Owned by the session, made when the first of these settings is set.
#pragma once

#include "proxy/sql/statement_effects.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// `name`, in lower case, is a setting that only we read: retry_wishes.
[[nodiscard]] bool is_retry_wish(std::string_view name);

class local_wishes {
public:
    /// So many settings and savepoints of one transaction are followed; behind them, none is.
    static constexpr std::size_t max_steps = 256;

    /// A text with these effects has been executed in a transaction. What it SET LOCAL to a value that only the server
    /// knows leaves everything as it is.
    void note(const statement_effects& effects);
    /// A transaction was rolled back, nobody knows how far.
    void rolled_back() { steps_.clear(); }
    /// The transaction's own value; none: the session's holds.
    [[nodiscard]] const std::string* find(std::string_view name) const;
    [[nodiscard]] bool empty() const { return steps_.empty(); }

private:
    struct step {
        std::string name;  ///< of a setting or a savepoint
        bool savepoint = false;
        std::optional<std::string> value;  ///< none: the session's
    };
    void set(const setting_change& change);
    void follow(const transaction_step& said);
    void add(step next);

    std::vector<step> steps_;  // in order
    bool too_many_ = false;
};

/// Whether a text with these effects, executed in a transaction, has to be noted although nothing has been so far.
[[nodiscard]] bool begins_local_wishes(const statement_effects& effects);

}  // namespace pgsteady
