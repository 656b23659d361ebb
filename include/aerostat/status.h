/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_STATUS_H
#define AEROSTAT_STATUS_H

/*
 * The one error type of Aerostat. Codes stand in four groups by whose fault the failure is, so
 * that a caller can decide what to do without knowing the function that failed: mend its own call,
 * try again later, distrust the peer, or report a bug to us.
 */

#ifdef __cplusplus
extern "C" {
#endif

enum aero_status {
	AERO_OK = 0,

	/* Caller: the call was wrong; nothing has changed. */
	AERO_EINVAL,  /* an argument is outside its documented range */
	AERO_ESTATE,  /* the object is in a state that does not allow this call */
	AERO_ENOSPC,  /* the caller's buffer or object is too small */
	AERO_ENOTSUP, /* a feature that was not negotiated or not built in */

	/* Environment: the port or the operating system failed. */
	AERO_ENOMEM,	/* the port gave no memory */
	AERO_EIO,	/* host memory, a file or a socket failed */
	AERO_EAGAIN,	/* not now; the doc of the call says what to wait for */
	AERO_ETIMEDOUT, /* an answer did not come within the bound */
	AERO_ENOEFFECT, /* the operation succeeded and changed nothing */

	/* Peer: the other end of the wire broke its protocol, or refuses. */
	AERO_EPROTO,   /* malformed or out of order */
	AERO_ERANGE,   /* an address or number outside guest memory */
	AERO_EDUP,     /* a frame given or returned twice */
	AERO_ENOENT,   /* a frame returned that was never given */
	AERO_EREFUSED, /* the peer said no */
	AERO_ERESET,   /* the peer reset the protocol */
	AERO_EGONE,    /* the peer closed or died */

	/* Us. */
	AERO_EBUG, /* an invariant of Aerostat does not hold: report it */

	AERO_STATUS_COUNT
};

/**
 * aero_status_str() - Name of a status, for people.
 * @status: Any value, known or not.
 *
 * Shape:   a static English phrase without newline; "unknown status" for others.
 * Owner:   static storage, never freed.
 * Errors:  none.
 * Context: any.
 * Source:  the list above.
 */
const char *aero_status_str(enum aero_status status);

#ifdef __cplusplus
}
#endif

#endif
