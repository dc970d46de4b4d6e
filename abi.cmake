# What is loaded at run time: plug-ins beside the program (kernels/plugin.h, data-sharding/media_plugin.h).

# jmt_abi(VARIABLE SEED FOLDERS...): a hash of the version and of the headers of these folders, equal where both sides
# of a plug-in were compiled with the same ones: what a call of the other needs to be safe. Folders are all whose
# headers objects on both sides include. That both compute the same is not what it says.
function(jmt_abi variable seed)
  string(APPEND seed " ${PROJECT_VERSION}")
  list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/)
  list(TRANSFORM ARGN APPEND /*.h)
  file(GLOB headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS ${ARGN})
  foreach(header ${headers})
    file(SHA256 ${CMAKE_SOURCE_DIR}/${header} hash)
    string(APPEND seed " ${header} ${hash}")
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${header})
  endforeach()
  string(SHA256 hash "${seed}")
  set(${variable} ${hash} PARENT_SCOPE)
endfunction()

# jmt_exports(TARGET LIST): programs that link TARGET have the names of the linker's LIST, and export them.
function(jmt_exports target list)
  file(STRINGS ${list} names REGEX "^    [a-z0-9_]+;$")
  list(TRANSFORM names REPLACE "^ +([a-z0-9_]+);$" "LINKER:--undefined=\\1")
  target_link_options(${target} INTERFACE LINKER:--dynamic-list=${list} ${names})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list})
endfunction()

# jmt_takes(PLUGIN LIST LANGUAGE OBJECTS LIBRARIES...): the target PLUGIN_taken, which does not link where these
# objects take what LIST lacks: an error of the build, and not on a user's machine. Names of LIST may be their own.
function(jmt_takes plugin list language objects)
  file(READ ${list} text)
  string(REGEX REPLACE "^.*{\n|};.*$" "" text "${text}")
  string(REGEX REPLACE " +([a-z0-9_]+);" "void \\1(void);\nvoid \\1(void) {}" text "${text}")
  file(CONFIGURE OUTPUT ${plugin}_taken.c CONTENT "${text}")
  add_library(${plugin}_taken MODULE ${CMAKE_CURRENT_BINARY_DIR}/${plugin}_taken.c ${objects})
  target_link_libraries(${plugin}_taken PRIVATE ${ARGN})
  target_link_options(${plugin}_taken PRIVATE LINKER:-z,defs LINKER:-z,muldefs)
  set_target_properties(${plugin}_taken PROPERTIES LINKER_LANGUAGE ${language} CUDA_RUNTIME_LIBRARY Shared)
endfunction()
