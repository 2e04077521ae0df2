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

/// Appends ParameterStatus messages that take a client from `believed` (may be null: nothing yet) to
/// `actual`. `in_hot_standby` is the server's own affair and is left out unless nothing was believed (P34).
void append_parameter_changes(std::string& out, const reported_list* believed, const reported_list& actual);

}  // namespace pgsteady
