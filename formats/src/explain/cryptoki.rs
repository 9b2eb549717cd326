//! PKCS#11: every return value of version 3.1 (its section 5.1 and header), in our own words.

use super::Topic;

/// All of them.
pub fn topics() -> impl Iterator<Item = Topic> {
    CODES.iter().map(|(number, code, meaning, (cause, advice))| Topic {
        source: "PKCS#11",
        code,
        number: Some(*number),
        meaning,
        cause,
        advice,
    })
}

/// What causes it, and what to do.
type Remedy = (&'static str, &'static str);

const NOTHING: Remedy = ("", "Nothing has to be done.");
const PROGRAM: Remedy = (
    "A fault in the program that uses the token, or a limit of its module.",
    "Look for an update of the program and of the module.",
);
const MEMORY: Remedy = ("", "Look at the limits of the process.");
const TOKENS: Remedy = ("", "keyferry token list shows slots and tokens; name the token by its label.");
const DEVICE: Remedy = (
    "A fault of the device, its connection, or its module.",
    "Look at the log of the module; keyferry token list shows whether it answers.",
);
const ATTRIBUTES: Remedy = (
    "A program and a token that have different ideas of objects.",
    "Look into the manual of the token for the attributes that it wants.",
);
const STAYS: Remedy = (
    "That is what tokens are for.",
    "Make a new key where it is wanted, and have a certificate issued for it: keyferry keygen.",
);
const FULL: Remedy =
    ("", "Delete objects that are no longer needed: keyferry list pkcs11:token=… shows them.");
const INSERT: Remedy = ("", "Insert the token again, and start the program anew.");
const LOST: Remedy = (
    "The object was deleted, or belongs to a session that ended.",
    "keyferry list pkcs11:token=… shows what is there.",
);
const SUITS: Remedy = (
    "",
    "Use a key of another kind or size, or another mechanism; pkcs11-tool -M shows which the token has.",
);
const USE: Remedy = (
    "The key was made for another use.",
    "Make a key with the right use, or set the attribute if the token allows it.",
);
const PIN: Remedy = ("", "Give the right one with --password; mind that tokens lock after a few wrong ones.");
const LOCKED: Remedy =
    ("", "The security officer has to unlock it: pkcs11-tool --init-pin, or the vendor's own tool.");
const OTHERS: Remedy =
    ("Another program, or another part of this one, uses the token.", "End the other session and try again.");
const WRITE: Remedy = ("", "Open the token for writing, or remove its protection.");
const LOGIN: Remedy =
    ("No PIN was given, or another session has logged out.", "Give the PIN with --password.");
const UNSET: Remedy = ("", "Set it: pkcs11-tool --init-pin.");

#[rustfmt::skip]
const CODES: &[(u32, &str, &str, Remedy)] = &[
    (0x0, "CKR_OK", "The call was done.", NOTHING),
    (0x1, "CKR_CANCEL", "The function was cancelled.", PROGRAM),
    (0x2, "CKR_HOST_MEMORY", "The machine has not enough memory.", MEMORY),
    (0x3, "CKR_SLOT_ID_INVALID", "There is no slot of this number.", TOKENS),
    (0x5, "CKR_GENERAL_ERROR", "The module failed in a way that it can't describe.", DEVICE),
    (0x6, "CKR_FUNCTION_FAILED", "The function could not be done; another call may do.", DEVICE),
    (0x7, "CKR_ARGUMENTS_BAD", "The arguments of the call make no sense to the module.", PROGRAM),
    (0x8, "CKR_NO_EVENT", "Nothing happened in any slot.", NOTHING),
    (0x9, "CKR_NEED_TO_CREATE_THREADS", "The module needs threads of its own, and may not make any.", PROGRAM),
    (0xa, "CKR_CANT_LOCK", "The module can't lock as it was told to.", PROGRAM),
    (0x10, "CKR_ATTRIBUTE_READ_ONLY", "An attribute that can't be changed was to be.", ATTRIBUTES),
    (0x11, "CKR_ATTRIBUTE_SENSITIVE", "The value never leaves the token: a sensitive or unextractable key.", STAYS),
    (0x12, "CKR_ATTRIBUTE_TYPE_INVALID", "The token does not know this attribute.", ATTRIBUTES),
    (0x13, "CKR_ATTRIBUTE_VALUE_INVALID", "The token does not take this value of an attribute.", ATTRIBUTES),
    (0x1b, "CKR_ACTION_PROHIBITED", "The object's attributes forbid this: it can't be copied, changed or destroyed.", ATTRIBUTES),
    (0x20, "CKR_DATA_INVALID", "The data can't be processed by this mechanism.", PROGRAM),
    (0x21, "CKR_DATA_LEN_RANGE", "The data is too long or too short for this mechanism, often for the size of the RSA key.", PROGRAM),
    (0x30, "CKR_DEVICE_ERROR", "The token or its slot has a fault.", DEVICE),
    (0x31, "CKR_DEVICE_MEMORY", "The token is full.", FULL),
    (0x32, "CKR_DEVICE_REMOVED", "The token was removed while it worked.", INSERT),
    (0x40, "CKR_ENCRYPTED_DATA_INVALID", "What was to be deciphered is not of this key or mechanism.", PROGRAM),
    (0x41, "CKR_ENCRYPTED_DATA_LEN_RANGE", "What was to be deciphered has an impossible length.", PROGRAM),
    (0x42, "CKR_AEAD_DECRYPT_FAILED", "What was to be deciphered does not prove its integrity.", PROGRAM),
    (0x50, "CKR_FUNCTION_CANCELED", "The function was cancelled while it ran.", PROGRAM),
    (0x51, "CKR_FUNCTION_NOT_PARALLEL", "No function runs in parallel in this session.", PROGRAM),
    (0x54, "CKR_FUNCTION_NOT_SUPPORTED", "The module does not have this function.", DEVICE),
    (0x60, "CKR_KEY_HANDLE_INVALID", "There is no key with this handle, or it is of another session.", LOST),
    (0x62, "CKR_KEY_SIZE_RANGE", "The mechanism does not work with keys of this size.", SUITS),
    (0x63, "CKR_KEY_TYPE_INCONSISTENT", "The mechanism is for keys of another kind.", SUITS),
    (0x64, "CKR_KEY_NOT_NEEDED", "A key was given that is of no use here.", PROGRAM),
    (0x65, "CKR_KEY_CHANGED", "A key is not the one that it was when the state was saved.", PROGRAM),
    (0x66, "CKR_KEY_NEEDED", "A key has to be given with the state.", PROGRAM),
    (0x67, "CKR_KEY_INDIGESTIBLE", "The value of this key can't be hashed.", PROGRAM),
    (0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED", "The key's attributes do not allow this use: CKA_SIGN, CKA_DECRYPT, CKA_UNWRAP.", USE),
    (0x69, "CKR_KEY_NOT_WRAPPABLE", "The key can't be wrapped by this key or mechanism.", STAYS),
    (0x6a, "CKR_KEY_UNEXTRACTABLE", "The key may not leave the token.", STAYS),
    (0x70, "CKR_MECHANISM_INVALID", "The token does not have this mechanism, or not for this key.", SUITS),
    (0x71, "CKR_MECHANISM_PARAM_INVALID", "The parameters of the mechanism are not taken.", SUITS),
    (0x82, "CKR_OBJECT_HANDLE_INVALID", "There is no object with this handle, or it is of another session.", LOST),
    (0x90, "CKR_OPERATION_ACTIVE", "Another operation is going on in this session.", PROGRAM),
    (0x91, "CKR_OPERATION_NOT_INITIALIZED", "No operation of this kind was begun in this session.", PROGRAM),
    (0xa0, "CKR_PIN_INCORRECT", "The PIN is wrong.", PIN),
    (0xa1, "CKR_PIN_INVALID", "The PIN has characters that the token does not take.", PIN),
    (0xa2, "CKR_PIN_LEN_RANGE", "The PIN is too short or too long.", PIN),
    (0xa3, "CKR_PIN_EXPIRED", "The PIN has expired and has to be changed first.", PIN),
    (0xa4, "CKR_PIN_LOCKED", "The PIN is locked after too many wrong ones.", LOCKED),
    (0xb0, "CKR_SESSION_CLOSED", "The session was closed while the call ran.", INSERT),
    (0xb1, "CKR_SESSION_COUNT", "No more sessions can be opened on this token.", OTHERS),
    (0xb3, "CKR_SESSION_HANDLE_INVALID", "There is no session with this handle; often the token was removed, or the process has forked.", INSERT),
    (0xb4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", "Only serial sessions exist.", PROGRAM),
    (0xb5, "CKR_SESSION_READ_ONLY", "The session may only read.", WRITE),
    (0xb6, "CKR_SESSION_EXISTS", "A session is open, and the token can't be initialised meanwhile.", OTHERS),
    (0xb7, "CKR_SESSION_READ_ONLY_EXISTS", "A reading session is open, so the security officer can't log in.", OTHERS),
    (0xb8, "CKR_SESSION_READ_WRITE_SO_EXISTS", "The security officer is logged in, so no reading session can be opened.", OTHERS),
    (0xc0, "CKR_SIGNATURE_INVALID", "The signature is wrong.", PROGRAM),
    (0xc1, "CKR_SIGNATURE_LEN_RANGE", "The signature has an impossible length.", PROGRAM),
    (0xd0, "CKR_TEMPLATE_INCOMPLETE", "An attribute that is needed for the new object is missing.", ATTRIBUTES),
    (0xd1, "CKR_TEMPLATE_INCONSISTENT", "The attributes of the new object contradict each other or the token's policy.", ATTRIBUTES),
    (0xe0, "CKR_TOKEN_NOT_PRESENT", "The slot is empty.", INSERT),
    (0xe1, "CKR_TOKEN_NOT_RECOGNIZED", "The module does not know the token in this slot.", TOKENS),
    (0xe2, "CKR_TOKEN_WRITE_PROTECTED", "The token is protected from writing.", WRITE),
    (0xf0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", "There is no unwrapping key with this handle.", LOST),
    (0xf1, "CKR_UNWRAPPING_KEY_SIZE_RANGE", "The unwrapping key has a size that the mechanism does not take.", SUITS),
    (0xf2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", "The unwrapping key is of another kind than the mechanism.", SUITS),
    (0x100, "CKR_USER_ALREADY_LOGGED_IN", "This user is logged in already.", NOTHING),
    (0x101, "CKR_USER_NOT_LOGGED_IN", "The call needs a login first; private objects are hidden until then.", LOGIN),
    (0x102, "CKR_USER_PIN_NOT_INITIALIZED", "The user's PIN was never set.", UNSET),
    (0x103, "CKR_USER_TYPE_INVALID", "There is no such kind of user.", PROGRAM),
    (0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", "Another kind of user is logged in.", OTHERS),
    (0x105, "CKR_USER_TOO_MANY_TYPES", "No more kinds of user can be logged in at once.", OTHERS),
    (0x110, "CKR_WRAPPED_KEY_INVALID", "What was to be unwrapped is no key, or is of another wrapping key.", PROGRAM),
    (0x112, "CKR_WRAPPED_KEY_LEN_RANGE", "What was to be unwrapped has an impossible length.", PROGRAM),
    (0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID", "There is no wrapping key with this handle.", LOST),
    (0x114, "CKR_WRAPPING_KEY_SIZE_RANGE", "The wrapping key has a size that the mechanism does not take.", SUITS),
    (0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", "The wrapping key is of another kind than the mechanism.", SUITS),
    (0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED", "The token's random generator takes no seed.", NOTHING),
    (0x121, "CKR_RANDOM_NO_RNG", "The token has no random generator.", DEVICE),
    (0x130, "CKR_DOMAIN_PARAMS_INVALID", "The parameters of the key's domain are not taken, such as an unknown curve.", SUITS),
    (0x140, "CKR_CURVE_NOT_SUPPORTED", "The token does not have this curve.", SUITS),
    (0x150, "CKR_BUFFER_TOO_SMALL", "The result does not fit into the room that was given.", PROGRAM),
    (0x160, "CKR_SAVED_STATE_INVALID", "The saved state can't be restored.", PROGRAM),
    (0x170, "CKR_INFORMATION_SENSITIVE", "The information may not be given out.", STAYS),
    (0x180, "CKR_STATE_UNSAVEABLE", "The state can't be saved.", PROGRAM),
    (0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", "The module was not initialised, or the process has forked since.", PROGRAM),
    (0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED", "The module is initialised already.", NOTHING),
    (0x1a0, "CKR_MUTEX_BAD", "A lock that was given to the module is no good.", PROGRAM),
    (0x1a1, "CKR_MUTEX_NOT_LOCKED", "A lock was to be released that nobody held.", PROGRAM),
    (0x1b0, "CKR_NEW_PIN_MODE", "A new PIN has to be set before anything else.", UNSET),
    (0x1b1, "CKR_NEXT_OTP", "The next one-time password is asked for.", PIN),
    (0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS", "A domain could not be found within the bound.", PROGRAM),
    (0x1b6, "CKR_FIPS_SELF_TEST_FAILED", "A self-test of the module failed.", DEVICE),
    (0x1b7, "CKR_LIBRARY_LOAD_FAILED", "The module could not load a library that it needs.", DEVICE),
    (0x1b8, "CKR_PIN_TOO_WEAK", "The new PIN is too weak for the token.", PIN),
    (0x1b9, "CKR_PUBLIC_KEY_INVALID", "The public key is no valid key.", ATTRIBUTES),
    (0x200, "CKR_FUNCTION_REJECTED", "The token's operator or policy rejected the call.", DEVICE),
    (0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", "The token has no room or time left for this.", FULL),
    (0x202, "CKR_OPERATION_CANCEL_FAILED", "The operation could not be cancelled.", PROGRAM),
    (0x203, "CKR_KEY_EXHAUSTED", "The key has been used as often as it may be.", SUITS),
    (0x80000000, "CKR_VENDOR_DEFINED", "Codes from here on are the vendor's own.", DEVICE),
];
