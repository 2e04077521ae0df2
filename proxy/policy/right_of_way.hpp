// Who has the right of way on rows that an interrupted transaction had locked (D30). PostgreSQL has given them to whoever waited;
// that one can go on only if its client has not been told of them yet, and a replay can only be the same with them. So
// the one whose answer is still held gives way: it is interrupted as well, and given again behind the replay. What the
// server says of who waits for whom decides, never a guess. Pure; asked only while a replay waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pgsteady::right_of_way {

/// For so long a replay may be on its server before it is asked who keeps it: most are through by then.
inline constexpr std::chrono::milliseconds patience{5};
/// Then it is asked again, since who gives way lets in the next one of the same queue.
inline constexpr std::chrono::milliseconds pause{10};

/// The processes that this one waits for, and those that these wait for, each once, in a column.
[[nodiscard]] std::string question(std::int32_t pid);

}  // namespace pgsteady::right_of_way
