// See database_marks.hpp.
#include "proxy/worker/database_marks.hpp"

namespace pgsteady {

bool database_marks::pause(const std::string& database) {
    const std::scoped_lock lock(mutex_);
    any_ = true;
    if (database.empty()) {
        all_paused_ = true;
        paused_.clear();
        resumed_.clear();
        return true;
    }
    if (paused_.size() >= most) return false;
    resumed_.erase(database);
    paused_.insert(database);
    return true;
}

bool database_marks::resume(const std::string& database) {
    const std::scoped_lock lock(mutex_);
    if (database.empty()) {
        all_paused_ = false;
        paused_.clear();
        resumed_.clear();
        return true;
    }
    paused_.erase(database);
    if (!all_paused_) return true;
    if (resumed_.size() >= most) return false;
    resumed_.insert(database);
    return true;
}

bool database_marks::paused(std::string_view database) const {
    if (!any_) return false;
    const std::scoped_lock lock(mutex_);
    return paused_.contains(database) || (all_paused_ && !resumed_.contains(database));
}

bool database_marks::disable(const std::string& database) {
    const std::scoped_lock lock(mutex_);
    if (disabled_.size() >= most) return false;
    any_ = true;
    disabled_.insert(database);
    return true;
}

void database_marks::enable(const std::string& database) {
    const std::scoped_lock lock(mutex_);
    disabled_.erase(database);
}

bool database_marks::disabled(std::string_view database) const {
    if (!any_) return false;
    const std::scoped_lock lock(mutex_);
    return disabled_.contains(database);
}

database_marks::value database_marks::now() const {
    const std::scoped_lock lock(mutex_);
    return {all_paused_ && resumed_.empty(), {paused_.begin(), paused_.end()}, {disabled_.begin(), disabled_.end()}};
}

}  // namespace pgsteady
