// What a server that has ended said at the end, out of all that it said last: the rest is an answer that nobody is to
// have, since its server did not live long enough to stand by it (client_held_answer.cpp). Pure; owned by nobody.
#pragma once

#include <string>
#include <string_view>

namespace pgsteady {

/// Its FATAL, and the warnings by which servers take their leave, in order; empty if there are none. `said` begins with
/// a whole frame; from a frame that cannot be read on, nothing is looked at.
[[nodiscard]] std::string farewell_in(std::string_view said);

}  // namespace pgsteady
