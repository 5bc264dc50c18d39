"""The words that a question's normal form knows (`form.py`): every other word counts letter for letter.

A word is in a list only if it has one meaning there. So there are no names that are common words too, such as Turkey,
no spellings of two words, such as cheque and check, and no units. A change here raises `form.FORM`.
"""


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _pairs(words: str) -> dict[str, str]:
    return {before: after for before, _, after in (pair.partition(">") for pair in words.split())}


ASKING = _words("what who whom whose when where which why how")
AUXILIARIES = _words(
    """is are was were do does did can could should would have isn't aren't wasn't weren't don't doesn't didn't
    can't couldn't shouldn't wouldn't won't hasn't haven't hadn't"""
)
BIDDING = _words(
    """explain describe tell list give define compare write name find summarize summarise suggest recommend help
    create calculate compute discuss outline provide teach prove"""
)
BEHIND_NOUNS = _words("is are was does has can in of or and vs")
"""Words behind which a word of `BIDDING` is no demand, as in *list or tuple*."""
OPENING = ASKING | AUXILIARIES | BIDDING
"""Words that begin a question or a demand: there a capital letter and the end punctuation mean nothing."""

PRONOUNS = _words("i you he she it we they")
ABBREVIATIONS = _words(
    """no in mr mrs ms dr st inc ltd co corp vs etc eg ie al fig vol sat sun mon tue wed thu fri jan feb mar apr jun
    jul aug sep oct nov dec approx ft oz lb min max art gen col sgt capt prof am pm id op pp ed ca cf est dept ave
    jr sr"""
)
"""Words whose full stop may be their own."""
FUNCTION = PRONOUNS | _words(
    """a an the and or nor but if in on at by to of for from with as than then that this these those is are was were
    be been am do does did can could should would will may might must shall has have had not no so what who whom
    whose when where which why how there here into onto over under after before because while my your his her its
    our their me him us them"""
)
"""Words behind which, or in place of which, there is no noun."""

CONTRACTIONS = _pairs(
    """isn't>is_not aren't>are_not wasn't>was_not weren't>were_not don't>do_not doesn't>does_not didn't>did_not
    can't>cannot couldn't>could_not shouldn't>should_not wouldn't>would_not won't>will_not hasn't>has_not
    haven't>have_not hadn't>had_not mustn't>must_not needn't>need_not isnt>is_not doesnt>does_not didnt>did_not
    couldnt>could_not shouldnt>should_not wouldnt>would_not I'm>I_am i'm>I_am I've>I_have i've>I_have I'll>I_will
    i'll>I_will you're>you_are we're>we_are they're>they_are you've>you_have we've>we_have they've>they_have
    you'll>you_will we'll>we_will they'll>they_will he'll>he_will she'll>she_will it'll>it_will what're>what_are
    whats>what_is hows>how_is wheres>where_is"""
)
OF_BE = _words("what who when where why how that there here it he she")
"""Words whose `'s` stands for *is*, or for *has* before a participle; never for a genitive."""
PARTICIPLES = _words(
    """been got done gone made become come happened left lost won run put set cut hit read sent built kept told held
    found bought brought thought taught caught felt met led spent said paid heard had gotten begun drunk sung sunk
    swum worn torn born sworn thrown grown known shown flown blown drawn slept swept stood understood sold made
    meant dealt fed fled bled shot shut split spread burst cast cost hurt let quit rid shed bet bid bound dug fought
    ground hung hid hidden laid lain lit slid spun stuck struck stung swung wept wound sat spat sought shone bent
    lent rung woke swung never ever already just always also only recently not really since"""
)
OURS = _words(
    """the of at with for and you we they your their have people or it he she eat be get use live take go see make
    run work fly swim drink grow survive help cause sleep change play win"""
)
"""Words that show a text to be English, where its first one is a word of other languages too."""
PARTICIPLE_ENDINGS = tuple(_words("ed en wn rn ung unk ught ept elt eld old uilt ent one ome ood ly"))
REGIONS = _words(
    """british american americans english britain uk us usa america australia australian canada canadian india e l o
    s u z"""
)
"""Words that may ask for one spelling of two."""
ABOUT_WORDS = _words(
    """stand mean means meaning difference differ vs versus between use used using usage form short stands answer
    reply write written"""
)
"""Words that may speak of a contraction itself."""

NAMING = _words("is are was were the a an of with like called and or")
"""Words behind which a contraction is not used but named."""

SPELLINGS = _pairs(
    """colour>color colours>colors colouring>coloring colourful>colorful favourite>favorite favourites>favorites
    favour>favor favours>favors flavour>flavor flavours>flavors flavoured>flavored behaviour>behavior
    behaviours>behaviors behavioural>behavioral neighbour>neighbor neighbours>neighbors neighbouring>neighboring
    neighbourhood>neighborhood honour>honor honours>honors rumour>rumor rumours>rumors humour>humor harbour>harbor
    harbours>harbors armour>armor vapour>vapor odour>odor tumour>tumor tumours>tumors vigour>vigor
    endeavour>endeavor endeavours>endeavors glamour>glamor centre>center centres>centers theatre>theater
    theatres>theaters litre>liter litres>liters kilometre>kilometer kilometres>kilometers centimetre>centimeter
    centimetres>centimeters millimetre>millimeter millimetres>millimeters fibre>fiber fibres>fibers calibre>caliber
    defence>defense offence>offense licence>license catalogue>catalog plough>plow jewellery>jewelry
    aluminium>aluminum mould>mold moustache>mustache pyjamas>pajamas sceptical>skeptical travelling>traveling
    travelled>traveled traveller>traveler travellers>travelers cancelled>canceled cancelling>canceling
    modelling>modeling labelled>labeled labelling>labeling fuelled>fueled fulfil>fulfill enrol>enroll
    skilful>skillful ageing>aging judgement>judgment manoeuvre>maneuver oestrogen>estrogen anaemia>anemia
    haemoglobin>hemoglobin leukaemia>leukemia diarrhoea>diarrhea anaesthetic>anesthetic anaesthesia>anesthesia
    gynaecology>gynecology archaeology>archeology paediatric>pediatric encyclopaedia>encyclopedia maths>math"""
)
ISE = _words(
    """organ real recogn optim custom apolog summar minim maxim visual initial normal serial categor emphas memor
    priorit special standard util critic final general stabil steril modern random synchron character local central
    capital commercial industrial author civil colon fertil hypothes immun legal mechan mobil monet neutral oxid
    polar popular social subsid sympath symbol vapor penal equal"""
)
ANALYSE = _pairs("analyse>analyze analysed>analyzed analysing>analyzing paralyse>paralyze paralysed>paralyzed")

NUMBERS = _pairs("two>2 three>3 four>4 five>5 six>6 seven>7 eight>8 nine>9 ten>10 eleven>11 twelve>12")
COUNTED = _words("people men women children feet teeth mice dice")
"""What numbers count, beside words in *s*."""
SINGULAR = _words("is was has does this its us as his yes plus times minus vs always")
"""Words in *s* that are no plural."""

TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million and")
"""Words behind which a number word is a part of a number."""

NAMES = _words(
    """france germany italy spain england britain scotland ireland russia canada mexico america europe africa asia
    australia sweden norway finland denmark austria belgium poland portugal ukraine iran iraq israel egypt nigeria
    argentina korea vietnam thailand indonesia pakistan switzerland netherlands india london paris berlin madrid
    rome moscow tokyo beijing chicago boston seattle texas california florida sydney toronto amsterdam barcelona
    english french german spanish italian japanese chinese korean russian arabic hindi portuguese american british
    european african asian canadian mexican australian egyptian ukrainian indian monday tuesday wednesday thursday
    friday saturday sunday january february april june july september october november december christmas easter
    halloween ramadan einstein shakespeare darwin beethoven mozart napoleon aristotle plato socrates picasso obama
    gandhi jupiter saturn uranus neptune venus google microsoft facebook instagram netflix wikipedia linux
    kubernetes django ubuntu debian bitcoin"""
)
"""Names that are written with and without a capital letter, and mean nothing else without."""
TECHNICAL = _words(
    """code function attribute property keyword api tag method command parameter argument css html sql parse accept
    accepts valid format locale case password username input enum hostname filename url domain cron key value string
    variable"""
)
"""Words beside which a spelling may be the point."""
LANGUAGES = _words("python java")
"""Names that mean something else without a capital letter, except beside one of `PROGRAMMING`."""
PROGRAMMING = _words(
    """array arrays dictionary tuple tuples integer integers strings variables lambda decorator decorators dataframe
    api json csv sql xml html numpy django flask pip"""
)

CODING = _words("list lists loop loops file files string function class sort code script error print module package")
"""Words beside which *in python* and *in java* are about the languages too."""

PLACES = _words(
    """python java javascript typescript c c++ c# go rust ruby php sql excel r bash linux html css react angular vue
    django flask pandas numpy git github powershell kotlin swift perl matlab postgres postgresql mysql sqlite
    mongodb docker kubernetes vim emacs latex haskell scala lua dart flutter unity node.js numpy pytorch tensorflow
    physics chemistry biology math maths mathematics economics statistics programming"""
)
"""What a phrase in front of a question may name: the question is the same with the phrase at its end."""
ATTACHING = _words("in that which who whose whom where than while when if because written")
"""Words that make a phrase at the end belong to something else than in front."""

ACTS = _words(
    """invest install uninstall download buy cook bake learn create build fix repair write open send pay find
    register sleep study travel speak talk"""
)
"""What a person does and a variable called *i* does not."""

COUNTABLE = _words(
    """hole network engine pointer computer car virus neuron planet star book website server database algorithm
    triangle rectangle circle vector matrix tensor integer compiler debugger transistor resistor capacitor molecule
    atom photon electron proton enzyme hormone antibody vaccine dictionary decorator iterator mutex queue router
    firewall cluster volcano glacier tsunami hurricane tornado earthquake galaxy comet asteroid nebula telescope
    microscope laser robot drone bicycle airplane helicopter submarine blockchain smartphone printer keyboard
    processor gene chromosome ribosome neurotransmitter synapse sonnet haiku mortgage browser framework monad
    functor supernova pulsar quasar"""
)
"""Nouns that are nothing else and never stand for a material: without an article they mean the same."""
BEFORE_LETTERS = _words(
    """vitamin hepatitis plan type grade class note option team half such quite rather many times what which this
    that my your his her its our their in by on at from to off"""
)
"""Words behind which *a* is a letter, or part of an expression, or says that the next noun is not meant by them."""

OWN = _words(
    """spell spells spelled spelling spelt typo typos grammar letter letters vowel vowels consonant consonants
    syllable syllables word words wording sentence sentences paragraph paragraphs phrase phrases comma commas hyphen
    hyphens whitespace spaces adjective adjectives adverb adverbs pronoun pronouns noun nouns verb verbs plural
    plurals singular tense tenses synonym synonyms antonym antonyms acronym acronyms symbol symbols emoji emojis
    unicode ascii glob operator operators say says said saying echo md5 token tokens prompt prompts message messages
    type typed typing dialect dialects accent accents correct corrected correctly correcting uppercase lowercase
    upper-case lower-case verbatim"""
)
"""Words of questions that are, or may be, about their own wording."""
OWN_STEMS = tuple(
    _words(
        """misspell translat rephras paraphras reword rewrit rewrot proofread grammatic punctuat capitalis
        capitaliz character contraction apostrophe rhym anagram palindrome abbreviat alphabet regex wildcard
        pronounc pronunc repeat quot literal encod decod base64 hash sha1 sha2 tokeni greet polite utf"""
    )
)
