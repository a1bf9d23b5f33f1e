"""Facts and questions that share no content word, between quotations in everyday English. tests/scripts checks the pairs."""
import random

from lib import fortunes
from lib.test_text import TestText, spread

BYTES_PER_TOKEN = 3.8
PAIRS = (
    ("The veterinarian says the puppy should get its shots on the ninth of May.", "When is the young dog due to be vaccinated?"),
    ("Our flat has been without heating since the boiler broke on Sunday.", "Why is the apartment so cold?"),
    ("The landlord raised what we pay every month by eighty euros.", "How much did the rent go up?"),
    ("My sister-in-law gave birth to twins in the ambulance.", "Where were the two babies delivered?"),
    ("The bridge on the coast road is shut until autumn because of rust.",
     "How long will the river crossing stay closed, and why is it unsafe?"),
    ("The orchestra's cellist quit after quarrelling with the conductor.", "Which musician left over an argument?"),
    ("Grandfather's watch was pawned to pay for the funeral.", "How was money found for the burial?"),
    ("The bakery on the corner sells yesterday's loaves at half price before nine.", "Where can one buy cheap stale bread in the morning?"),
    ("The pilot landed in a barley field after both engines failed.", "What did the plane come down on in the emergency?"),
    ("The surgeon operates only on Tuesdays and Thursdays.", "On which weekdays does the hospital doctor perform procedures?"),
    ("Rosalind breaks out in a rash whenever there are peanuts in the cake.", "What is the girl allergic to?"),
    ("The minutes of the gardening club were eaten by a goat.", "What happened to the records of the horticultural society?"),
    ("The cheapest seats at the opera cost eleven pounds.", "How much must one spend at least to hear the singers?"),
    ("The lighthouse keeper retired at the age of seventy-one.", "How old was the man who tended the beacon when he stopped working?"),
    ("Two spoonfuls of the syrup before bed will stop the cough.", "What dose of medicine helps against a sore throat at night?"),
    ("The exam was moved from room twelve to the gymnasium.", "Where will the test be held?"),
    ("Burglars got into the jeweller's through the skylight.", "How did the thieves enter the shop that deals in gold rings?"),
    ("The ferry does not sail when waves are higher than three metres.", "In what weather is the boat service cancelled?"),
    ("The widow left her whole fortune to a home for stray cats.", "Who inherited the old lady's money?"),
    ("The strike ended when the factory agreed to a shorter week.", "What concession brought the employees back to work?"),
    ("The wine is stored in the vault beneath the chapel.", "Where are the bottles of claret kept?"),
    ("The novelist composed her last story in a caravan in Wales.", "In what kind of dwelling was the author's final book finished?"),
    ("The bus driver found a violin worth a million on the back seat.", "What valuable instrument did a passenger forget?"),
    ("The apples in the upper orchard ripen three weeks after the others.", "Which part of the fruit harvest comes late?"),
    ("The town council voted to plant poplars along the canal.", "What trees did the municipality decide to put by the water?"),
    ("Lightning struck the church spire, and the bells have been silent since.", "Why do we no longer hear ringing from the tower?"),
    ("The recipe wants the dough to rest in the fridge overnight.", "How long must the pastry chill?"),
    ("The hikers survived for six days on snow and chocolate.", "What did the lost mountaineers eat?"),
    ("The new teacher comes from Iceland.", "What is the native country of the recently hired instructor?"),
    ("Nobody may swim in the reservoir, since it supplies the hospital.", "Why is bathing in the lake forbidden?"),
    ("The senator blushed whenever he told a lie.", "How could one see that the politician was not being truthful?"),
    ("The carpenter charges forty an hour, plus timber.", "What does the joiner want for his labour?"),
    ("The goalkeeper broke his thumb and will miss the final.", "Why can one of the footballers not take part in the deciding match?"),
    ("Aunt Beatrice keeps the spare key under the third flowerpot.", "How can one get into the house when the relative is out?"),
    ("The museum lets children in for nothing on the first Sunday.", "When can kids see the exhibition free of charge?"),
    ("The photographs were ruined because the cellar flooded.", "What destroyed the old pictures?"),
    ("The tailor needs the trousers back by Thursday to shorten them.", "When must the pants be returned so that the legs can be hemmed?"),
    ("The dentist had to remove both of Clara's wisdom teeth.", "Which molars did the woman get pulled?"),
    ("The mayor's speech was drowned out by a brass band.", "Why could nobody understand the address of the town's head?"),
    ("The lorry overturned because its load of melons had shifted.", "What caused the truck accident?"),
    ("The hotel refunds the whole sum if you cancel a day ahead.", "Until when can guests get their money back for a booking?"),
    ("The choir rehearses in the fire station while the hall is painted.", "Where do the singers practise at the moment?"),
    ("The shepherd counts his flock with dried beans.", "What does the man use to keep track of his sheep?"),
    ("The judge put the forger behind bars for four years.", "How long a sentence did the counterfeiter receive?"),
    ("The oak in the schoolyard was felled by the gale.", "What happened to the big tree in the storm?"),
    ("The professor speaks nine languages but cannot drive.", "What ordinary skill does the polyglot scholar lack?"),
    ("The submarine has to surface every eleven hours for air.", "How often must the vessel come up so that the crew can breathe?"),
    ("The colonel never travels without his own pillow.", "What does the officer always take along on journeys?"),
    ("The soup tasted of soap because the cook had not rinsed the pot.", "Why was the broth inedible?"),
    ("The heiress married her gardener in secret.", "Whom did the rich woman wed without telling anyone?"),
    ("The glacier has shrunk by a third since the war.", "How much of the ice has melted away?"),
    ("The printer jams whenever the paper is damp.", "What makes the office machine get stuck?"),
    ("The smugglers hid the diamonds in hollow candles.", "Where were the contraband gems concealed?"),
    ("Passengers with a dog must sit in the last carriage.", "Where on the train are pets allowed?"),
    ("The nurse wakes him at five to take his temperature.", "At what time is the patient's fever checked?"),
    ("The bank locks the account after three wrong passwords.", "How many failed log-ins are tolerated?"),
)


def make(fetcher, size_tokens):
    rng = random.Random("paraphrase 2")
    places = [(i + rng.random()) / len(PAIRS) for i in range(len(PAIRS))]
    rng.shuffle(places)
    units = fortunes.units(fetcher, int(size_tokens * BYTES_PER_TOKEN), "paraphrase", ())
    text, ranges = spread(units, [(place, fact) for place, (fact, _) in zip(places, PAIRS)])
    questions = [{"id": f"paraphrase-{i}", "set": "paraphrase", "kind": "no shared words", "question": question, "evidence": [at]}
                 for i, ((_, question), at) in enumerate(zip(PAIRS, ranges))]
    return TestText("paraphrase", text, questions, fetcher.versions_of("fortunes"))
