// See retry_budget.hpp.
#include "proxy/policy/retry_budget.hpp"

namespace pgsteady {

retry_budget::retry_budget(const config::retry_settings& rules, time_point now, std::uint64_t statements_so_far)
    : share_(rules.budget), reserve_(rules.budget_reserve), seen_(statements_so_far), seen_at_(now) {}

bool retry_budget::take(time_point now, std::uint64_t statements_so_far) {
    if (statements_so_far > seen_) statements_.add_spread(seen_at_, now, statements_so_far - seen_);
    seen_ = statements_so_far;
    seen_at_ = now;
    const double earned = share_ * static_cast<double>(statements_.sum(now));
    const double spare = static_cast<double>(reserve_) * static_cast<double>(memory.count());
    if (static_cast<double>(retries_.sum(now)) + 1 > earned + spare) {
        ++refused_;
        return false;
    }
    retries_.add(now, 1);
    return true;
}

void retry_budget::set_rules(const config::retry_settings& rules) {
    share_ = rules.budget;
    reserve_ = rules.budget_reserve;
}

}  // namespace pgsteady
