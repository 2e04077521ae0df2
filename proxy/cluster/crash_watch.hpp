// Who crashes the servers of one cluster, as all who hold connections to it see it: a crash_record per host behind one
// lock, since sessions of every worker and the monitor meet the same crash. Asked when a connection ends and before a
// statement is sent again, never otherwise. It decides about retries alone (D25). Thread-safe; owned by its cluster.
#pragma once

#include "proxy/policy/crash_record.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace pgsteady {

class crash_watch {
public:
    using time_point = crash_record::time_point;

    explicit crash_watch(std::size_t hosts) : records_(hosts) {}

    // As in crash_record; a host that does not exist is ignored.
    void ended_silently(std::size_t host, std::uint64_t client, std::span<const std::uint64_t> in_flight,
                        time_point opened, time_point now) {
        const std::scoped_lock lock(mutex_);
        if (host < records_.size()) records_[host].ended_silently(client, in_flight, opened, now);
    }
    void told_of_crash(std::size_t host, time_point opened, time_point now) {
        const std::scoped_lock lock(mutex_);
        if (host < records_.size()) records_[host].told_of_crash(opened, now);
    }
    /// Crashes of any host that one of these statements was the sole victim of, of late: the most of any.
    [[nodiscard]] std::uint32_t crashes(std::span<const std::uint64_t> statements, time_point now) {
        const std::scoped_lock lock(mutex_);
        std::uint32_t most = 0;
        for (const std::uint64_t each : statements) {
            std::uint32_t sum = 0;
            for (crash_record& record : records_) sum += record.crashes(each, now);
            most = most < sum ? sum : most;
        }
        return most;
    }

private:
    std::mutex mutex_;
    std::vector<crash_record> records_;  // by host; guarded by mutex_
};

}  // namespace pgsteady
