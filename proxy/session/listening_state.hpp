// What one client listens to, as far as its session follows it: on a server of its own, or through the connection that
// clients share (D18). A value without rules of its own; written by session_listen.cpp and session_notify.cpp alone.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace pgsteady {

struct channel_change {
    std::string name;  ///< of a channel, empty: of all; or of a savepoint
    bool listens = false;
    bool savepoint = false;
};

struct listening_state {
    std::set<std::string> channels;
    std::vector<channel_change> changes;  ///< by the open transaction, and its savepoints behind the first of them
    bool unknown = false;                 ///< which they are is not known
    bool unsure = false;                  ///< a savepoint's tag has come, and its text has not been looked at yet
    bool pinned = false;                  ///< they keep the server, and that has been counted
    std::string incident;                 ///< in which they were lost
    bool drops_shared = false;            ///< UNLISTEN * stands in the open transaction, among others
    std::set<std::string> shared;         ///< channels that the shared listener has for this client
    std::string offered;                  ///< the one of them that it may not have yet
    std::string queued;                   ///< frames that wait for the end of a request
};

}  // namespace pgsteady
