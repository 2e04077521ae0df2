// See reported.hpp.
#include "proxy/session/reported.hpp"

#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include <algorithm>

namespace pgsteady {

reported_ptr reported_table::of(reported_list values) {
    std::string key;
    for (const auto& [name, value] : values) key.append(name).append(1, '\0').append(value).append(1, '\0');
    std::weak_ptr<const reported_list>& slot = known_[std::move(key)];
    reported_ptr found = slot.lock();
    if (found == nullptr) {
        found = std::make_shared<const reported_list>(std::move(values));
        slot = found;
    }
    if (known_.size() >= sweep_at_) {
        std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
        sweep_at_ = std::max<std::size_t>(64, known_.size() * 2);
    }
    return found;
}

reported_ptr reported_table::with(const reported_ptr& from, std::string_view name, std::string_view value) {
    if (const std::string* had = find_reported(*from, name); had != nullptr && *had == value) return from;
    reported_list values = *from;
    const auto at = std::find_if(values.begin(), values.end(), [&](const auto& each) { return each.first == name; });
    if (at != values.end()) at->second = value;
    else values.emplace_back(name, value);
    return of(std::move(values));
}

const std::string* find_reported(const reported_list& values, std::string_view name) {
    for (const auto& [known, value] : values)
        if (known == name) return &value;
    return nullptr;
}

bool tells_other_role(std::string_view name, std::string_view value, bool was_standby) {
    return name == "in_hot_standby" && (value == "on") != was_standby;
}

namespace {

reported_ptr if_reported(reported_table& table, const reported_ptr& values, std::string_view name,
                         std::string_view value) {
    return find_reported(*values, name) != nullptr ? table.with(values, name, value) : values;
}

}  // namespace

reported_ptr as_read_only(reported_table& table, const reported_ptr& values) {
    return if_reported(table, values, "default_transaction_read_only", "on");
}

reported_ptr as_of_primary(reported_table& table, const reported_ptr& values) {
    return if_reported(table, values, "in_hot_standby", "off");
}

void append_parameter_changes(std::string& out, const reported_list* believed, const reported_list& actual) {
    for (const auto& [name, value] : actual) {
        if (believed != nullptr) {
            const std::string* had = find_reported(*believed, name);
            if (had != nullptr && *had == value) continue;
        }
        const frame_builder frame(out, backend_message::parameter_status);
        put_cstring(out, name);
        put_cstring(out, value);
    }
}

}  // namespace pgsteady
