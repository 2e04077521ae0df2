// See incident_log.hpp.
#include "proxy/worker/incident_log.hpp"

#include "admin/printable.hpp"
#include "proxy/worker/log.hpp"

#include <fmt/format.h>

namespace pgsteady {

namespace {

/// Names in it are what clients make them. The log has all of it.
constexpr std::size_t longest = 500;

}  // namespace

std::string incident_log::take_number() { return fmt::format("{:02x}{:06x}", worker_, next_++); }

std::string incident_log::tell(std::string_view kind, std::string_view what, std::size_t most) {
    std::string number = take_number();
    if (log::wanted(config::log_level::warning))
        log::write(config::log_level::warning, kind, fmt::format("incident {}: {}", number, what));
    ++told_;
    if (most > 0)
        latest_.push_back(std::make_shared<const told_incident>(
            told_incident{told_, number, std::chrono::system_clock::now(), admin::printable(what, longest)}));
    while (latest_.size() > most) latest_.pop_front();
    return number;
}

}  // namespace pgsteady
