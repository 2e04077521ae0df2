# Writes the revision of the sources into a header, when it has changed; "unknown" without git or its folder.
# cmake -D SOURCE=folder -D OUTPUT=file -P revision.cmake. It knows the commit alone: no time, no machine, no state of
# the folder, so that the same commit makes the same binary.
set(revision unknown)
find_program(git git)
if(git AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE said ERROR_QUIET RESULT_VARIABLE failed
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed AND said MATCHES "^[0-9a-f]+$")
    set(revision ${said})
  endif()
endif()
set(text "#pragma once\n#define PGSTEADY_REVISION \"${revision}\"\n")
set(known "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} known)
endif()
if(NOT known STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
