// What "on" and its relatives say (proxy/sql/setting_switch).
#include "proxy/sql/setting_switch.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

TEST_CASE("a switch is read as PostgreSQL reads it: any case, unambiguous beginnings, nothing else") {
    for (const char* on : {"on", "ON", "true", "True", "tru", "t", "T", "yes", "ye", "y", "1"})
        CHECK_MESSAGE(setting_switch(on) == true, on);
    for (const char* off : {"off", "Off", "of", "false", "FALS", "f", "no", "n", "0"})
        CHECK_MESSAGE(setting_switch(off) == false, off);
    for (const char* neither :
         {"", "o", "O", "onn", "offf", "truee", "yess", "10", "01", "2", " on", "on ", "enabled", "ja"})
        CHECK_MESSAGE(!setting_switch(neither).has_value(), neither);
}
