// The ParameterStatus values of a server connection or as a client believes them: an immutable list,
// shared by pointer like the ledger. Values come from servers alone and are never kept longer than
// the connection that reported them, or the pool's latest (P34). One table per worker.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgsteady {

using reported_list = std::vector<std::pair<std::string, std::string>>;
using reported_ptr = std::shared_ptr<const reported_list>;

class reported_table {
public:
    /// The one object with these values, in this order.
    [[nodiscard]] reported_ptr of(reported_list values);
    /// `from` with one value changed, or appended if it is new.
    [[nodiscard]] reported_ptr with(const reported_ptr& from, std::string_view name, std::string_view value);

private:
    std::unordered_map<std::string, std::weak_ptr<const reported_list>> known_;
    std::size_t sweep_at_ = 64;
};

/// The value reported for `name`, or null.
[[nodiscard]] const std::string* find_reported(const reported_list& values, std::string_view name);

/// Whether a report says that a server has another role than it had when it was opened: a promotion ends no session of a
/// standby, and is told with the answer to its next statement alone (recovery.md 2.9, E3c, T29).
[[nodiscard]] bool tells_other_role(std::string_view name, std::string_view value, bool was_standby);

/// What a client is told whose statements a standby serves: that nothing can be written, if the server reports on that at
/// all (since PostgreSQL 14), so that drivers which watch it go elsewhere (recovery.md 2.13).
[[nodiscard]] reported_ptr as_read_only(reported_table& table, const reported_ptr& values);
/// What a client is told before anybody serves it, of values that a standby may have reported: where there is a primary,
/// it will be that.
[[nodiscard]] reported_ptr as_of_primary(reported_table& table, const reported_ptr& values);

/// Appends ParameterStatus messages that take a client from `believed` (may be null: nothing yet) to `actual`.
void append_parameter_changes(std::string& out, const reported_list* believed, const reported_list& actual);

}  // namespace pgsteady
