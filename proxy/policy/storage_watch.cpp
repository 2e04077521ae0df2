// See storage_watch.hpp.
#include "proxy/policy/storage_watch.hpp"

namespace pgsteady {

void storage_watch::end_attempt(write_attempt how, time_point now, double chance) {
    if (!failing()) return;
    switch (how) {
        case write_attempt::wrote:
        case write_attempt::forbidden:  // so be it: the next three failures close it for longer
            fuse_.end_probe({}, now, chance);
            break;
        case write_attempt::failed: {
            recovery_verdict still;
            still.name = verdict_name::storage_failing;
            still.host = host_effect::counted;
            fuse_.end_probe(still, now, chance);
            break;
        }
        case write_attempt::given_up: fuse_.abandon_probe(); break;
    }
}

void storage_watch::forget(time_point now) {
    strikes_.clear();
    fuse_.reset(now);
}

}  // namespace pgsteady
