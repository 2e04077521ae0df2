// See source_limits.hpp.
#include "proxy/worker/source_limits.hpp"

#include <algorithm>

namespace pgsteady {

using namespace std::chrono_literals;

source_limits::answer source_limits::begin(const std::string& source, time_point now) {
    const std::scoped_lock lock(mutex_);
    if (sources_.size() >= most_sources && !sources_.contains(source)) {
        forget_quiet(now);
        if (sources_.size() >= most_sources) return answer::too_many_tries;
    }
    entry& of = sources_[source];
    // A bucket that leaks: a burst of a minute's worth is let through, the mean rate is kept.
    const double rate = rules_.max_tries_per_minute / 60.0;
    of.tries = std::max(0.0, of.tries - rate * std::chrono::duration<double>(now - of.counted_at).count());
    of.counted_at = now;
    if (rules_.max_concurrent != 0 && of.at_once >= rules_.max_concurrent) return answer::too_many_at_once;
    if (rules_.max_tries_per_minute != 0 && of.tries + 1 > rules_.max_tries_per_minute) return answer::too_many_tries;
    of.tries += 1;
    ++of.at_once;
    return answer::admitted;
}

void source_limits::ended(const std::string& source) {
    const std::scoped_lock lock(mutex_);
    if (const auto at = sources_.find(source); at != sources_.end() && at->second.at_once > 0) --at->second.at_once;
}

void source_limits::forget_quiet(time_point now) {
    if (now - swept_at_ < 1s) return;  // a flood of sources must not make every try expensive
    swept_at_ = now;
    std::erase_if(sources_,
                  [now](const auto& each) { return each.second.at_once == 0 && now - each.second.counted_at > 60s; });
}

std::size_t source_limits::known() const {
    const std::scoped_lock lock(mutex_);
    return sources_.size();
}

std::string source_of(std::string_view peer) {
    if (!peer.empty() && peer.front() == '/') return "unix";
    const std::size_t colon = peer.rfind(':');
    return std::string(colon == std::string_view::npos ? peer : peer.substr(0, colon));
}

}  // namespace pgsteady
